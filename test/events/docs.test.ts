import { assert, describe, expect, it } from "@effect/vitest"
import { events } from "../../services/events/EventCatalogue.ts"
import { render } from "../support/eventsPage.ts"

describe("docs/events.md", () => {
  it("is what the schemas say", async () => {
    await expect(render()).toMatchFileSnapshot("../../docs/events.md")
  })

  it("has every event of the runtime in it", () => {
    const page = render()
    for (const tag of Object.keys(events)) assert.include(page, `\n### ${tag}\n`)
    assert.notInclude(page, "undefined")
  })
})
