// The door's name among the clients of the core. In a file of its own: a node without a door loads nothing else of it.

/** The door's name among the node's clients; the links' handles begin at 1. */
export const DOOR_HANDLE = 0;
