%% Runs programs of the differential test on OTP's own supervisor and tells, for each step, what was answered, what
%% happened in which order, and how the tree looks when everything has come to rest.
%%
%% One program a line on standard input, as an Erlang term; one answer a line on standard output:
%% its number, then one tab before each step's account, or the single word `late` when this machine was too slow to
%% keep the program's times. Each program has a process and a table of its own, so many run at the same time.
-module(otp_driver).
-export([main/0, init/1, start_worker/2, gate/1]).

-define(TICK, 3300).
%% How late a program may be before its windows can no longer be trusted.
-define(PATIENCE, 1000).

main() ->
    logger:set_primary_config(level, none),
    io:setopts(standard_io, [{encoding, latin1}]),
    read().

read() ->
    case io:get_line(standard_io, "") of
        Line when is_list(Line) ->
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, Program} = erl_parse:parse_term(Tokens),
            spawn(fun() -> run(Program) end),
            read();
        _ ->
            halt(0)
    end.

%% -- a program ------------------------------------------------------------------------------------------------------

run({Number, Tree, Steps}) ->
    process_flag(trap_exit, true),
    Tab = ets:new(program, [public, ordered_set]),
    ets:insert(Tab, [{seq, 0}, {told, 0}, {tree, Tree}]),
    Began = erlang:monotonic_time(millisecond),
    Lines =
        case supervisor:start_link(?MODULE, {Tab, Tree}) of
            {ok, Root} ->
                put(root, Root),
                First = account(Tab, "started"),
                First ++ steps(Tab, Steps) ++ [stop(Tab)];
            {error, {shutdown, {failed_to_start_child, Id, _}}} ->
                receive {'EXIT', _, _} -> ok after 0 -> ok end,
                [["failed ", atom_to_list(Id), " |", news(Tab), " | "]];
            {error, _} ->
                [["failed |", news(Tab), " | "]]
        end,
    Ideal = ?TICK * length([tick || tick <- Steps]),
    Lag = erlang:monotonic_time(millisecond) - Began - Ideal,
    Answer = case Lag > ?PATIENCE of true -> ["late"]; false -> Lines end,
    io:put_chars([integer_to_list(Number), [["\t", Line] || Line <- Answer], "\n"]).

steps(_Tab, []) -> [];
steps(Tab, [Step | Rest]) -> account(Tab, step(Tab, Step)) ++ steps(Tab, Rest).

account(Tab, Result) ->
    States = settle(Tab, 5000),
    [[Result, " |", news(Tab), " | ", States]].

stop(Tab) ->
    Root = get(root),
    case get(down) of
        undefined ->
            exit(Root, shutdown),
            receive {'EXIT', Root, Reason} -> put(down, Reason) end,
            ["stopped |", news(Tab), " | ", down()];
        _ ->
            ["stopped | | ", down()]
    end.

down() -> io_lib:format("down ~0p", [get(down)]).

%% -- steps ----------------------------------------------------------------------------------------------------------

step(_Tab, tick) ->
    timer:sleep(?TICK),
    "ok";
step(Tab, {together, Sup, Steps}) ->
    case find(Tab, {sup, Sup}) of
        {_, Pid, static} -> together(Tab, Pid, Steps);
        _ -> "nobody"
    end;
step(Tab, {exit, Name, Reason}) ->
    case find(Tab, {worker, Name}) of
        {_, Pid, _} -> finish(Pid, Reason);
        none -> "nobody"
    end;
step(Tab, Call) ->
    case call(Tab, Call) of
        Refusal when is_list(Refusal) -> Refusal;
        Ask -> Ask()
    end.

finish(Pid, Reason) ->
    Ref = monitor(process, Pid),
    case Reason of
        kill -> exit(Pid, kill);
        _ -> Pid ! {exit, Reason}
    end,
    receive {'DOWN', Ref, _, _, _} -> "ok" end.

%% The supervisor is busy with starting a child that hangs; everything else waits in its mailbox, in order.
together(Tab, Sup, Steps) ->
    Runner = self(),
    spawn_link(fun() ->
        Spec = #{id => gate, start => {?MODULE, gate, [Runner]}, restart => temporary},
        catch supervisor:start_child(Sup, Spec)
    end),
    receive {gate, Sup} -> ok end,
    Asked = [queue(Tab, Sup, Step) || Step <- Steps],
    Sup ! open,
    lists:join(" ", [
        case Answer of
            {caller, Caller} -> receive {Caller, Text} -> Text end;
            Text -> Text
        end || Answer <- Asked]).

queue(Tab, Sup, {exit, Name, Reason}) ->
    case find(Tab, {worker, Name}) of
        {_, Pid, Sup} ->
            Waiting = waiting(Sup),
            finish(Pid, Reason),
            grown(Sup, Waiting),
            "ok";
        _ -> "nobody"
    end;
queue(Tab, Sup, Call) ->
    case call(Tab, Call) of
        Refusal when is_list(Refusal) -> Refusal;
        Ask ->
            Runner = self(),
            Waiting = waiting(Sup),
            Caller = spawn_link(fun() -> Runner ! {self(), Ask()} end),
            grown(Sup, Waiting),
            {caller, Caller}
    end.

waiting(Sup) ->
    {message_queue_len, Length} = process_info(Sup, message_queue_len),
    Length.

grown(Sup, Before) ->
    case waiting(Sup) > Before of
        true -> ok;
        false -> erlang:yield(), grown(Sup, Before)
    end.

gate(Runner) ->
    Runner ! {gate, self()},
    receive open -> {error, gate} end.

%% What to ask of a supervisor: a function, or the answer when there is nobody to ask.
call(Tab, {Kind, Sup, What}) ->
    case find(Tab, {sup, Sup}) of
        none -> "nobody";
        {_, Pid, static} -> static(Tab, Pid, Kind, What);
        {_, Pid, dynamic} -> dynamic(Tab, Pid, Kind, What)
    end.

static(Tab, Pid, start, Child) ->
    ask(fun() -> supervisor:start_child(Pid, spec(Tab, Child)) end);
static(_, Pid, terminate, Id) -> ask(fun() -> supervisor:terminate_child(Pid, Id) end);
static(_, Pid, restart, Id) -> ask(fun() -> supervisor:restart_child(Pid, Id) end);
static(_, Pid, delete, Id) -> ask(fun() -> supervisor:delete_child(Pid, Id) end);
static(_, Pid, spec, Id) -> ask(fun() -> supervisor:get_childspec(Pid, Id) end).

%% OTP knows dynamic children by pid; a name that no live child has is found by nobody.
dynamic(Tab, Pid, start, {worker, Name, _, _} = Worker) ->
    case find(Tab, {worker, Name}) of
        none -> ask(fun() -> supervisor:start_child(Pid, [Worker]) end);
        _ -> "already_started"
    end;
dynamic(_, Pid, restart, Id) -> ask(fun() -> supervisor:restart_child(Pid, Id) end);
dynamic(_, Pid, delete, Id) -> ask(fun() -> supervisor:delete_child(Pid, Id) end);
dynamic(Tab, Pid, Kind, Name) ->
    case find(Tab, {worker, Name}) of
        {_, Child, Pid} when Kind =:= terminate -> ask(fun() -> supervisor:terminate_child(Pid, Child) end);
        {_, Child, Pid} when Kind =:= spec -> ask(fun() -> supervisor:get_childspec(Pid, Child) end);
        _ -> "not_found"
    end.

ask(Ask) -> fun() -> word(catch Ask()) end.

%% One word for each answer; the other runtime's answers have the same.
word(ok) -> "ok";
word({ok, Pid}) when is_pid(Pid) -> "ok";
word({ok, #{restart := Restart, shutdown := Shutdown, type := Type, significant := Significant}}) ->
    io_lib:format("~0p/~0p/~0p/~0p", [Restart, Shutdown, Type, Significant]);
word({error, {already_started, _}}) -> "already_started";
word({error, already_present}) -> "already_present";
word({error, not_found}) -> "not_found";
word({error, running}) -> "running";
word({error, restarting}) -> "running";
word({error, simple_one_for_one}) -> "not_here";
word({error, _}) -> "not_started";
word({'EXIT', _}) -> "stopped".

%% -- the tree at rest -----------------------------------------------------------------------------------------------

%% At rest is a tree in which every process that a supervisor names is alive, none is being started again, and nothing
%% happened while we looked.
settle(Tab, Left) ->
    Root = get(root),
    receive {'EXIT', Root, Reason} -> put(down, Reason) after 0 -> ok end,
    Before = ets:lookup_element(Tab, seq, 2),
    case get(down) of
        undefined when Left =< 0 -> "never at rest";
        undefined ->
            Look = (catch look(Tab, ets:lookup_element(Tab, tree, 2), Root)),
            case {Look, ets:lookup_element(Tab, seq, 2)} of
                {{rest, Text}, Before} -> Text;
                _ -> timer:sleep(1), settle(Tab, Left - 1)
            end;
        _ -> down()
    end.

look(Tab, Tree, Sup) when is_tuple(Tree) -> look(Tab, element(2, Tree), Sup);
look(Tab, Name, Sup) ->
    Children = supervisor:which_children(Sup),
    Counts = [proplists:get_value(Key, supervisor:count_children(Sup)) || Key <- [specs, active, supervisors, workers]],
    {_, Sup, Kind} = find(Tab, {sup, Name}),
    {Texts, Shown} =
        case Kind of
            static -> {[child(Tab, Child) || Child <- lists:reverse(Children)], Counts};
            % Ours counts the children there are, OTP the one template.
            dynamic -> {lists:sort([dynamic_child(Tab, Pid) || {_, Pid, _, _} <- Children]), ["*" | tl(Counts)]}
        end,
    {rest, [atom_to_list(Name), "[", lists:join(" ", Texts), "] ", lists:join("/", [count(N) || N <- Shown])]}.

count(N) when is_integer(N) -> integer_to_list(N);
count(Text) -> Text.

child(_Tab, {Id, undefined, _, _}) -> [atom_to_list(Id), "-"];
child(Tab, {Id, Pid, supervisor, _}) when is_pid(Pid) ->
    {rest, Text} = look(Tab, Id, Pid),
    Text;
child(_Tab, {Id, Pid, worker, _}) when is_pid(Pid) ->
    true = is_process_alive(Pid),
    atom_to_list(Id).

dynamic_child(Tab, Pid) ->
    true = is_process_alive(Pid),
    [[Name]] = ets:match(Tab, {{worker, '$1'}, Pid, '_'}),
    atom_to_list(Name).

%% -- what supervisors start -----------------------------------------------------------------------------------------

init({Tab, {sup, Name, Strategy, Intensity, Period, Auto, Children}}) ->
    ets:insert(Tab, {{sup, Name}, self(), static}),
    log(Tab, "+", Name, ""),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => Auto},
    {ok, {Flags, [spec(Tab, Child) || Child <- Children]}};
init({Tab, {dyn, Name, Intensity, Period, Restart, Shutdown}}) ->
    ets:insert(Tab, {{sup, Name}, self(), dynamic}),
    log(Tab, "+", Name, ""),
    Flags = #{strategy => simple_one_for_one, intensity => Intensity, period => Period},
    Template = #{id => template, start => {?MODULE, start_worker, [Tab]}, restart => Restart},
    {ok, {Flags, [shutdown(Template, Shutdown)]}}.

spec(Tab, {child, Body, Restart, Shutdown, Significant}) ->
    Spec =
        case Body of
            {worker, Name, _, _} ->
                #{id => Name, start => {?MODULE, start_worker, [Tab, Body]}, type => worker};
            _ ->
                Start = {supervisor, start_link, [?MODULE, {Tab, Body}]},
                #{id => element(2, Body), start => Start, type => supervisor}
        end,
    shutdown(Spec#{restart => Restart, significant => Significant}, Shutdown).

shutdown(Spec, default) -> Spec;
shutdown(Spec, Shutdown) -> Spec#{shutdown => Shutdown}.

start_worker(Tab, {worker, Name, Starts, Stop}) ->
    Nth = ets:update_counter(Tab, {starts, Name}, 1, {{starts, Name}, 0}),
    case Nth =< length(Starts) andalso lists:nth(Nth, Starts) of
        no ->
            log(Tab, "!", Name, ""),
            {error, refused};
        _ ->
            Sup = self(),
            proc_lib:start_link(erlang, apply, [fun() -> worker(Tab, Name, Stop, Sup) end, []])
    end.

worker(Tab, Name, Stop, Sup) ->
    process_flag(trap_exit, true),
    sweep(Tab),
    ets:insert(Tab, {{worker, Name}, self(), Sup}),
    log(Tab, "+", Name, ""),
    proc_lib:init_ack({ok, self()}),
    work(Tab, Name, Stop, Sup).

work(Tab, Name, Stop, Sup) ->
    receive
        {exit, Reason} -> leave(Tab, Name, Reason, Reason);
        {'EXIT', Sup, shutdown} when Stop =:= obeys -> leave(Tab, Name, stopped, shutdown);
        {'EXIT', Sup, shutdown} when Stop =:= breaks -> leave(Tab, Name, error, error);
        {'EXIT', Sup, shutdown} -> work(Tab, Name, Stop, Sup)
    end.

leave(Tab, Name, Word, Reason) ->
    ets:delete(Tab, {worker, Name}),
    log(Tab, "-", Name, [" ", atom_to_list(Word)]),
    exit(Reason).

%% -- what happened --------------------------------------------------------------------------------------------------

%% Everybody writes for himself, at once, before going on: so the order is that of cause and effect.
log(Tab, Sign, Name, Word) ->
    sweep(Tab),
    write(Tab, [Sign, atom_to_list(Name), Word]).

write(Tab, Text) ->
    N = ets:update_counter(Tab, seq, 1),
    ets:insert(Tab, {{event, N}, Text}).

%% The killed cannot write: whoever writes next does it for them.
sweep(Tab) ->
    [write(Tab, ["-", atom_to_list(Name), " killed"])
     || [Name, Pid] <- ets:match(Tab, {{worker, '$1'}, '$2', '_'}),
        not is_process_alive(Pid),
        ets:select_delete(Tab, [{{{worker, Name}, Pid, '_'}, [], [true]}]) =:= 1].

news(Tab) ->
    sweep(Tab),
    From = ets:lookup_element(Tab, told, 2),
    To = ets:lookup_element(Tab, seq, 2),
    ets:insert(Tab, {told, To}),
    [[" ", ets:lookup_element(Tab, {event, N}, 2)] || N <- lists:seq(From + 1, To)].

find(Tab, Key) ->
    case ets:lookup(Tab, Key) of
        [{_, Pid, _} = Found] ->
            case is_process_alive(Pid) of true -> Found; false -> none end;
        [] -> none
    end.
