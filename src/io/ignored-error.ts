/**
 * The listener for errors of a socket that are followed by its close; without one they would end the process. One for all sockets: a function made
 * where a socket is met would keep alive, for as long as the socket, whatever the code around it has at hand.
 */
export const ignoreError = (): void => {};
