// Small helpers to build the page. Text only ever becomes text nodes: nothing here parses HTML, so that file names and labels
// cannot become anything else.

export const $ = (id) => document.getElementById(id);

// el makes an element. Attributes that are false or null are left out; children that are not nodes become text.
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// announce tells people who listen to the page instead of looking at it. A text said twice in a row is said anew.
export function announce(text) {
  const announcer = $("announcer");
  announcer.textContent = announcer.textContent === text ? `${text}\u00a0` : text;
}

// reveal scrolls to an element if it is out of sight, smoothly where that is welcome.
export function reveal(element) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}
