/** `fetch` whose answers are read up to a size: an event that never ends would be gathered until the memory is full. */
import { InvalidResponseDataError } from "@ai-sdk/provider"

/** Bytes of one answer. */
const LIMIT = 64 * 1024 * 1024

/** Only bytes pass here, so that nothing is decoded twice. */
export const boundedFetch =
  (limit = LIMIT, base: typeof fetch = fetch): typeof fetch =>
  async (input, init) => {
    const response = await base(input, init)
    if (response.body === null) return response
    let size = 0
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          size += chunk.byteLength
          if (size <= limit) return controller.enqueue(chunk)
          return controller.error(
            new InvalidResponseDataError({ data: undefined, message: `the answer passed ${limit} bytes` })
          )
        }
      })
    )
    const { headers, status, statusText } = response
    return new Response(counted, { headers, status, statusText })
  }
