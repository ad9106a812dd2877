// An array that is gathered element by element and is refused as soon as it is over what one reply may hold: before it is held, and long before
// it is written.

import { CommandError } from "./errors.ts";
import { bytesOf, REPLY_BYTES_MAX, type Reply } from "./reply.ts";

/** See the top of the file. */
export class ReplyList {
  readonly #items: Reply[] = [];
  #bytes = 0;

  /** In the order in which they were added; the caller's from now on. */
  get items(): readonly Reply[] {
    return this.#items;
  }

  /**
   * @param bytes What {@link bytesOf} says of the reply, where that is known.
   * @throws {CommandError} when it is one too many
   */
  add(reply: Reply, bytes: number = bytesOf(reply)): void {
    this.#bytes += bytes;
    if (this.#bytes > REPLY_BYTES_MAX)
      throw new CommandError(`ERR the reply is over ${REPLY_BYTES_MAX} bytes`);
    this.#items.push(reply);
  }
}
