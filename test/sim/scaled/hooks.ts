// Node's loader hook for the scaled-down build; `register.ts` installs it.

import type { LoadHook } from "node:module";
import { isScaled, scaleSource } from "./constants.ts";

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (!isScaled(url) || loaded.source == null) return loaded;
  const source = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
  return { ...loaded, source: scaleSource(url, source) };
};
