// Things sorted by whom they go to, in batches of a bounded size: for questions about many slots, of which each node gets few.

/** What goes to one destination. */
export interface Batch<Item, To> {
  readonly to: To;
  /** In the order given. */
  readonly items: readonly Item[];
}

/** Sorts the items by destination, at most `sizeMax` to a batch. The batches are in the order of their first items. */
export function batchesOf<Item, To>(
  items: Iterable<Item>,
  destinationOf: (item: Item) => To,
  sizeMax: number,
): Batch<Item, To>[] {
  const open = new Map<To, Item[]>();
  const batches: { to: To; items: Item[] }[] = [];
  for (const item of items) {
    const to = destinationOf(item);
    const current = open.get(to);
    if (current !== undefined && current.length < sizeMax) {
      current.push(item);
      continue;
    }
    const batch = { to, items: [item] };
    open.set(to, batch.items);
    batches.push(batch);
  }
  return batches;
}
