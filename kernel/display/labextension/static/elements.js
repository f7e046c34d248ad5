// Making elements. Text goes in as text, never as markup.

/** An element with a class and a text. */
export function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) {
    node.textContent = text;
  }
  return node;
}

/** Sets a text only when it differs, so that the browser lays out only what changed. */
export function setText(node, text) {
  const child = node.firstChild;
  if (!child) {
    node.append(text);
  } else if (child.data !== text) {
    child.data = text;
  }
}
