/**
 * The binding epoch: a counter that rises whenever something outside a captured step changes what its code would do or
 * which memory it would touch (a storage swapped, state loaded, a parameter frozen, a hook added, train/eval switched).
 * A program whose epoch is older revalidates its guards before it runs again.
 */
export const binding = { epoch: 0 };

export function bindingChanged(): void {
  binding.epoch++;
}
