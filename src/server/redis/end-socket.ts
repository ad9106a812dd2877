// How the door ends a connection: what was written is sent, and then the client has a moment to read it. It is cut after that moment even
// while it goes on sending, which would keep a timer of idleness from ever running out.

import type { Socket } from "node:net";

/** Ends the socket, and cuts it when it is not closed by then. What it still sends is dropped. */
export function endSocket(socket: Socket, msMax: number): void {
  socket.end();
  // Bytes that nobody reads would turn the end into a reset, and the last reply would be lost.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), msMax);
  // A node that has stopped must end.
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}
