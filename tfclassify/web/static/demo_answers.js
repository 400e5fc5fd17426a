// Who answers the demo page: the server that gave it. The page without a server has another
// file of this name, with the same functions.
import { ask, Refused } from "./asking.js";

/** Return what is known of the models before the first photo. */
export function describeModels() {
  return ask("/api/models");
}

/**
 * Ask a model about a photo.
 * @param {number} model Its number.
 * @param {Blob} photo A file.
 * @param {boolean} views Whether to average over views.
 * @returns {Promise<{probabilities: number[], labels: number[], trust: object|null}>}
 */
export async function answer(model, photo, views) {
  const found = await send(`/api/answer?model=${model}&views=${views}`, photo);
  return found.json();
}

/** Return the address of a picture of where a class is seen, or null where there is none. */
export async function drawMap(model, photo, column, views) {
  const path = `/api/map?model=${model}&column=${column}&views=${views}`;
  return URL.createObjectURL(await (await send(path, photo)).blob());
}

/** Return the address of an example. */
export function addressOfExample(model, number) {
  return `/api/example?model=${model}&number=${number}`;
}

async function send(path, photo) {
  let found;
  try {
    const headers = { "content-type": "application/octet-stream" };
    found = await fetch(path, { method: "POST", headers, body: photo });
  } catch {
    throw new Refused("The server does not answer. Is tfclassify still running?", 0);
  }
  if (found.ok) return found;
  const content = await found.json().catch(() => ({}));
  throw new Refused(content.error ?? `Error ${found.status}`, found.status);
}
