/** Calls that have to be allowed, put to the person one after the other, with their exact arguments. */
import { Clock, Effect, FiberMap } from "effect"
import type { Permission, PermissionId } from "../../../services/permission/Permission.ts"
import { visible, visibleJson } from "../../../services/permission/visible.ts"
import type { SessionEvent } from "../../../services/session/SessionEvent.ts"
import type { Asking } from "../Asking.ts"
import { insist } from "../insist.ts"
import * as Terminal from "../Terminal.ts"
import { type Room, told } from "./Room.ts"

const prompt = (tool: string): string => `allow ${Terminal.fit(visible(tool), 40)}? [y/n/a] `
const CHOICES = "[y]es, this once; [a]lways in this session; [n]o"

type Choice = "y" | "n" | "a"

const choices: Readonly<Record<string, Choice>> = { y: "y", yes: "y", n: "n", no: "n", a: "a", always: "a" }

type Resolved = Extract<SessionEvent, { readonly _tag: "PermissionResolved" }>

const settledElsewhere = ({ decision, how }: Resolved): string => {
  switch (how) {
    case "expired":
      return "nobody answered in time, which counts as no"
    case "withdrawn":
      return "that is not asked any more: the turn is over"
    default:
      return `${decision === "allow" ? "allowed" : "denied"} elsewhere`
  }
}

export const make = Effect.fnUntraced(function* (room: Room, asking: Asking) {
  const { espalier, lines, screen, sessionId, talk } = room
  const asked = yield* FiberMap.make<PermissionId>()
  /** Answered from here. */
  const answered = new Set<PermissionId>()

  const show = ({ args, classes, expiresAt, path = [], tool }: Permission) =>
    Effect.gen(function* () {
      const [asker = sessionId] = path.slice(-1)
      const who = path.length === 0 ? "" : `${talk.nameOf(asker) ?? `sub-session ${asker}`} asks: `
      const left = Terminal.duration(Math.max(0, expiresAt - (yield* Clock.currentTimeMillis)))
      yield* lines.tell(`${who}may ${visible(tool)} (${classes.join(", ")}) run with ${visibleJson(args)}?`)
      yield* lines.tell(`${CHOICES}; without an answer in ${left} it is no`)
    })

  const request = (permission: Permission) =>
    asking.inTurn((line) =>
      Effect.gen(function* () {
        yield* show(permission)
        let choice: Choice | undefined
        while (choice === undefined) {
          choice = choices[(yield* line(prompt(permission.tool))).trim().toLowerCase()]
          if (choice !== undefined) break
          // Who answers from a pipe has but one line for it.
          if (!lines.isPerson) choice = "n"
          else yield* lines.tell(CHOICES)
        }
        return choice
      }).pipe(
        // The input has ended, or was too slow.
        Effect.catch(() => Effect.succeed<Choice>("n")),
        Effect.flatMap((choice) => answer(permission, choice))
      )
    )

  const answer = ({ hash, permissionId }: Permission, choice: Choice) => {
    answered.add(permissionId)
    const decision = choice === "n" ? "deny" : "allow"
    return told(
      room,
      Effect.andThen(
        insist(espalier.ResolvePermission({ sessionId, permissionId, hash, decision, remember: choice === "a" })),
        screen.note(choice === "n" ? "denied" : choice === "a" ? "allowed, and will not be asked again" : "allowed")
      )
    )
  }

  return {
    request: (permission: Permission) =>
      Effect.asVoid(FiberMap.run(asked, permission.permissionId, request(permission), { onlyIfMissing: true })),
    /** It was answered, here or elsewhere, or is not asked any more. */
    settle: (event: Resolved) =>
      Effect.gen(function* () {
        if (answered.delete(event.permissionId)) return
        const wasAsked = yield* FiberMap.has(asked, event.permissionId)
        yield* FiberMap.remove(asked, event.permissionId)
        if (!wasAsked) return
        yield* screen.note(settledElsewhere(event))
        if (!asking.isWaiting()) yield* lines.prompt()
      })
  }
})
