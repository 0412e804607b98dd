type Child = Node | string | undefined;

type Props<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], 'style' | 'dataset' | 'children' | 'attributes'>
> & {
  /** Attributes that are no properties, as aria-label; undefined leaves one out. */
  readonly attributes?: Readonly<Record<string, string | undefined>>;
};

/** An element with properties, attributes and children. Texts become text nodes: nothing that anybody wrote is read as HTML. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props<Tag> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const { attributes = {}, ...properties } = props;
  const element = document.createElement(tag);
  Object.assign(element, properties);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** Sets a text where it differs: what a screen reader was told it is not told again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or removes it for undefined. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** What shows one item of a list. */
export interface Row<Item> {
  readonly element: Element;
  update(item: Item): void;
}

/** The children of an element, one a key: kept over changes, so that focus, selection and scroll position stay. */
export class Rows<Item> {
  #rows = new Map<string, Row<Item>>();

  constructor(
    private readonly parent: Element,
    private readonly keyOf: (item: Item) => string,
    private readonly newRow: (item: Item) => Row<Item>,
  ) {}

  show(items: readonly Item[]): void {
    const rows = new Map<string, Row<Item>>();
    for (const item of items) {
      const key = this.keyOf(item);
      rows.set(key, this.#rows.get(key) ?? this.newRow(item));
    }
    for (const [key, { element }] of this.#rows) if (!rows.has(key)) element.remove();
    this.#rows = rows;
    let next = this.parent.firstElementChild;
    for (const [at, row] of [...rows.values()].entries()) {
      if (row.element === next) next = next.nextElementSibling;
      else this.parent.insertBefore(row.element, next);
      row.update(items[at] as Item);
    }
  }

  clear(): void {
    this.show([]);
  }
}
