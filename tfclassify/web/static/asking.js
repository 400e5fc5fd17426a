// Asking the server that gave the page, and what it says when it refuses.

/** An answer that is no success; `status` is 0 where the server could not be reached. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Ask for JSON.
 * @param {string} path Such as `/api/images`.
 * @param {object} [given] What to send as JSON; then it is a POST.
 * @param {AbortSignal} [signal] Breaks it off.
 * @returns {Promise<any>} What the server answered.
 * @throws {Refused}
 */
export async function ask(path, given, signal) {
  const request = { signal };
  if (given !== undefined) {
    request.method = "POST";
    request.headers = { "content-type": "application/json" };
    request.body = JSON.stringify(given);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is tfclassify still running?", 0);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(content.error ?? `Error ${answer.status}`, answer.status);
  return content;
}
