import * as Topic from "../../services/events/Topic.ts"
import { SessionId } from "../../services/session/SessionId.ts"
import { WorkerId } from "../../services/worker/WorkerId.ts"

export const sessionTopic = (name: string) => Topic.ofSession(SessionId.make(`ses_${name}`))
export const workerTopic = (name: string) => Topic.ofWorker(WorkerId.make(`wrk_${name}`))
