/** Whether the model can see: then it is shown the pictures that tools answer with, and else told that there are some. */
import { Context } from "effect"

export const ModelSight = Context.Reference<boolean>("espalier/model/ModelSight", { defaultValue: () => false })
