/** A list that runs through its members, so that one leaves from the middle as cheaply as from an end. */

/** In one chain at a time. */
export interface Member<M> {
  before: M | undefined
  after: M | undefined
}

export class Chain<M extends Member<M>> {
  first: M | undefined
  last: M | undefined

  append(member: M) {
    member.before = this.last
    if (this.last === undefined) this.first = member
    else this.last.after = member
    this.last = member
  }

  prepend(member: M) {
    member.after = this.first
    if (this.first === undefined) this.last = member
    else this.first.before = member
    this.first = member
  }

  /** A member that somebody still holds keeps no others alive. */
  remove(member: M) {
    if (member.before === undefined) this.first = member.after
    else member.before.after = member.after
    if (member.after === undefined) this.last = member.before
    else member.after.before = member.before
    member.before = member.after = undefined
  }
}
