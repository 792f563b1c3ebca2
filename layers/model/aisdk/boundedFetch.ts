/**
 * `fetch` whose answers are read up to a size: an event that never ends would be gathered until the memory is full. It also
 * hears what no adapter passes on: while a model thinks, providers send pings and comments so that nobody hangs up.
 */
import { InvalidResponseDataError } from "@ai-sdk/provider"

/** Bytes of one answer. */
const LIMIT = 64 * 1024 * 1024

/** Who wants to know that something came for the request with this signal, be it a comment. */
export const listeners = new WeakMap<AbortSignal, () => void>()

const NEWLINE = 10

/** Hands on what there is when it is asked for, and nothing ahead: less work for each piece than a transform is. */
const bounded = (
  body: ReadableStream<Uint8Array>,
  limit: number,
  onLine: (() => void) | undefined
): ReadableStream<Uint8Array> => {
  const reader = body.getReader()
  let size = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) =>
        reader.read().then(({ done, value }) => {
          if (done) return controller.close()
          size += value.byteLength
          // Bytes that make no line are no sign of life.
          if (onLine !== undefined && value.includes(NEWLINE)) onLine()
          if (size <= limit) return controller.enqueue(value)
          const error = new InvalidResponseDataError({ data: undefined, message: `the answer passed ${limit} bytes` })
          controller.error(error)
          return reader.cancel(error)
        }),
      cancel: (reason) => reader.cancel(reason)
    },
    { highWaterMark: 0 }
  )
}

export const boundedFetch =
  (limit = LIMIT, base: typeof fetch = fetch): typeof fetch =>
  async (input, init) => {
    const response = await base(input, init)
    if (response.body === null) return response
    const { headers, status } = response
    const onLine = init?.signal == null ? undefined : listeners.get(init.signal)
    return new Response(bounded(response.body, limit, onLine), { headers, status })
  }
