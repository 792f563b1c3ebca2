/**
 * OTP's supervisor as a plain program: one thing after another, starts that always succeed, no fibers and no clock but a
 * number. Meant to be read beside the manual page, not to be fast.
 */
import type { RestartType, Strategy } from "../../../services/supervision/ChildSpec.ts"

export interface Shape {
  readonly id: string
  readonly restart: RestartType
  readonly significant: boolean
  /** For a supervisor. */
  readonly sup?: SupShape
}

export interface SupShape {
  readonly id: string
  readonly strategy: Strategy
  readonly intensity: number
  /** Milliseconds. */
  readonly period: number
  readonly auto: "never" | "any_significant" | "all_significant"
  readonly children: ReadonlyArray<Shape>
}

interface Member {
  readonly shape: Shape
  isUp: boolean
}

interface Sup {
  readonly shape: SupShape
  readonly members: Array<Member>
  history: Array<number>
}

export type End = "normal" | "shutdown" | "error" | "kill"

export class Model {
  readonly events: Array<string> = []
  private readonly sups = new Map<string, Sup>()
  private readonly shapes = new Map<string, Shape>()
  private now = 0

  constructor(root: SupShape) {
    this.startSup(root)
  }

  /** The shape without the flags that OTP would refuse. */
  static valid(shape: SupShape): SupShape {
    return {
      ...shape,
      children: shape.children.map((child) => ({
        ...child,
        significant: child.significant && shape.auto !== "never" && child.restart !== "permanent",
        ...(child.sup === undefined ? {} : { sup: Model.valid(child.sup) })
      }))
    }
  }

  // -- what there is

  alive(): ReadonlyArray<string> {
    return Array.from(this.sups.values())
      .flatMap(({ members }) => members.filter(({ isUp, shape }) => isUp && shape.sup === undefined))
      .map(({ shape }) => shape.id)
      .toSorted()
  }

  supervisors(): ReadonlyArray<string> {
    return Array.from(this.sups.keys()).toSorted()
  }

  shape(id: string): Shape | undefined {
    return this.shapes.get(id)
  }

  parentOf(id: string): Sup | undefined {
    return Array.from(this.sups.values()).find(({ members }) => members.some(({ shape }) => shape.id === id))
  }

  // -- what is done to it

  advance(millis: number): string {
    this.now += millis
    return "ok"
  }

  exit(id: string, end: End): string {
    const sup = this.parentOf(id)
    const member = sup?.members.find(({ shape }) => shape.id === id)
    if (sup === undefined || member === undefined || !member.isUp) return "nobody"
    this.events.push(`-${id}`)
    this.ended(sup, member, end)
    return "ok"
  }

  start(supId: string, shape: Shape): string {
    const sup = this.sups.get(supId)
    if (sup === undefined) return "nobody"
    if (sup.members.some((member) => member.shape.id === shape.id)) return "ChildExists"
    const member = { shape, isUp: false }
    sup.members.push(member)
    this.up(member)
    return "ok"
  }

  call(name: "terminate" | "restart" | "delete", supId: string, id: string): string {
    const sup = this.sups.get(supId)
    if (sup === undefined) return "nobody"
    const member = sup.members.find(({ shape }) => shape.id === id)
    if (member === undefined) return "ChildNotFound"
    if (name === "terminate") {
      this.down(member)
      if (member.shape.restart === "temporary") this.forget(sup, member)
      return "ok"
    }
    if (member.isUp) return "ChildRunning"
    if (name === "delete") this.forget(sup, member)
    else this.up(member)
    return "ok"
  }

  // -- the rules

  private ended(sup: Sup, member: Member, end: End) {
    const { restart, significant } = member.shape
    if (restart === "permanent" || (restart === "transient" && (end === "error" || end === "kill"))) {
      return this.startAgain(sup, member)
    }
    member.isUp = false
    if (restart === "temporary") this.forget(sup, member)
    if (!significant || sup.shape.auto === "never") return
    const others = sup.members.filter((other) => other.shape.significant && other.isUp)
    if (sup.shape.auto === "any_significant" || others.length === 0) this.giveUp(sup)
  }

  private startAgain(sup: Sup, member: Member) {
    const { intensity, period, strategy } = sup.shape
    member.isUp = false
    sup.history = [...sup.history.filter((instant) => instant >= this.now - period), this.now]
    if (sup.history.length > intensity) return this.giveUp(sup)
    const from = strategy === "one_for_all" ? 0 : sup.members.indexOf(member)
    const group = strategy === "one_for_one" ? [member] : sup.members.slice(from)
    for (const other of group.toReversed()) this.down(other)
    for (const other of group) {
      if (other.shape.restart === "temporary") this.forget(sup, other)
      else this.up(other)
    }
  }

  /** It stops its children and ends with `shutdown`, which is for its own supervisor to judge. */
  private giveUp(sup: Sup) {
    this.stopSup(sup)
    const parent = this.parentOf(sup.shape.id)
    const self = parent?.members.find(({ shape }) => shape.id === sup.shape.id)
    if (parent !== undefined && self !== undefined) this.ended(parent, self, "shutdown")
  }

  private up(member: Member) {
    const { shape } = member
    this.shapes.set(shape.id, shape)
    if (shape.sup === undefined) this.events.push(`+${shape.id}`)
    else this.startSup(shape.sup)
    member.isUp = true
  }

  private down(member: Member) {
    if (!member.isUp) return
    member.isUp = false
    const sup = member.shape.sup === undefined ? undefined : this.sups.get(member.shape.sup.id)
    if (sup === undefined) this.events.push(`-${member.shape.id}`)
    else this.stopSup(sup)
  }

  private startSup(shape: SupShape) {
    const sup: Sup = { shape, members: shape.children.map((child) => ({ shape: child, isUp: false })), history: [] }
    this.sups.set(shape.id, sup)
    for (const member of sup.members) this.up(member)
  }

  private stopSup(sup: Sup) {
    for (const member of sup.members.toReversed()) this.down(member)
    this.sups.delete(sup.shape.id)
  }

  private forget(sup: Sup, member: Member) {
    const index = sup.members.indexOf(member)
    if (index !== -1) sup.members.splice(index, 1)
  }
}
