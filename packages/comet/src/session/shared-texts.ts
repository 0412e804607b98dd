const MAX_SHARED = 4_096;
const MAX_CHARACTERS = 256;

/**
 * Hands out one string for equal ones. What logic answers is decoded anew for each connection: of what many have in common, as
 * an epoch or a room, each would keep a copy.
 */
export class SharedTexts {
  readonly #shared = new Map<string, string>();

  of<Text extends string>(text: Text): Text {
    const known = this.#shared.get(text);
    if (known !== undefined) return known as Text;
    if (text.length > MAX_CHARACTERS) return text;
    if (this.#shared.size >= MAX_SHARED) this.#shared.clear();
    this.#shared.set(text, text);
    return text;
  }
}
