%% The baselines on BEAM, one scheduler: prints one `name value` line a figure. Times in microseconds, rates per second.
-module(beam_baseline).
-behaviour(gen_server).
-export([main/0, start_link/0, start_told/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

start_link() -> gen_server:start_link(?MODULE, child, []).

start_told(Who) -> gen_server:start_link(?MODULE, {told, Who}, []).

init(child) -> {ok, 0};
init({told, Who}) -> Who ! {up, self()}, {ok, 0};
init({restarts, Who}) ->
    Child = #{id => child, start => {?MODULE, start_told, [Who]}, restart => permanent},
    {ok, {#{strategy => one_for_one, intensity => 1000, period => 5}, [Child]}};
init(supervisor) ->
    Child = #{id => child, start => {?MODULE, start_link, []}, restart => temporary},
    {ok, {#{strategy => simple_one_for_one, intensity => 3, period => 5}, [Child]}}.

handle_call(get, _From, State) -> {reply, State, State}.
handle_cast(_, State) -> {noreply, State}.
handle_info(_, State) -> {noreply, State}.

%% Best of `Rounds`, per operation.
best(Rounds, Count, Work) ->
    Work(),
    lists:min([begin {T, _} = timer:tc(Work), T / Count end || _ <- lists:seq(1, Rounds)]).

print(Name, Value) -> io:format("~s ~p~n", [Name, Value]).

main() ->
    {ok, Sup} = supervisor:start_link(?MODULE, supervisor),
    N = 20000,
    print("start_stop", best(5, N, fun() ->
        [begin {ok, P} = supervisor:start_child(Sup, []), ok = supervisor:terminate_child(Sup, P) end || _ <- lists:seq(1, N)]
    end)),
    logger:set_primary_config(level, none),
    print("restart", lists:min([restarts(200) || _ <- lists:seq(1, 20)])),
    {ok, Server} = start_link(),
    print("call", best(5, 100000, fun() -> [gen_server:call(Server, get) || _ <- lists:seq(1, 100000)] end)),
    T = ets:new(t, [set, public, {read_concurrency, true}]),
    [ets:insert(T, {{<<"session">>, main, I}, self()}) || I <- lists:seq(1, 10000)],
    print("lookup", best(5, 100000, fun() -> [ets:lookup(T, {<<"session">>, main, 5000}) || _ <- lists:seq(1, 100000)] end)),
    print("register", best(5, 20000, fun() ->
        [begin true = ets:insert_new(T, {{<<"session">>, main, 0}, self()}), ets:delete(T, {<<"session">>, main, 0}) end || _ <- lists:seq(1, 20000)]
    end)),
    print("fanout_100", fanout(100, 2000)),
    print("fanout_1", fanout(1, 200000)),
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    Children = [begin {ok, P} = supervisor:start_child(Sup, []), P end || _ <- lists:seq(1, 100000)],
    [erlang:garbage_collect(P) || P <- Children],
    print("child_bytes", (erlang:memory(total) - Before) / 100000),
    halt(0).

%% From one crash to the next life of the child, on average.
restarts(N) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {restarts, self()}),
    First = receive {up, P} -> P end,
    {T, _} = timer:tc(fun() ->
        lists:foldl(fun(_, Pid) -> exit(Pid, kill), receive {up, Next} -> Next end end, First, lists:seq(1, N))
    end),
    unlink(Sup),
    exit(Sup, shutdown),
    Ref = monitor(process, Sup),
    receive {'DOWN', Ref, _, _, _} -> ok end,
    T / N.

%% Deliveries per second from one publisher to `Readers` processes that count to `Events`.
fanout(Readers, Events) ->
    Self = self(),
    Pids = [spawn_link(fun() -> count(Self, Events) end) || _ <- lists:seq(1, Readers)],
    {Time, _} = timer:tc(fun() ->
        [[P ! {event, I} || P <- Pids] || I <- lists:seq(1, Events)],
        [receive {done, P} -> ok end || P <- Pids]
    end),
    Readers * Events * 1000000 / Time.

count(Parent, 0) -> Parent ! {done, self()};
count(Parent, N) -> receive {event, _} -> count(Parent, N - 1) end.
