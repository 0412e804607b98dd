const SVG = 'http://www.w3.org/2000/svg';

/** A comet. */
export function logo(): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 32 32');
  svg.setAttribute('class', 'logo');
  svg.setAttribute('aria-hidden', 'true');
  for (const [d, name] of [
    ['M4 28C8 19 13 14 18 11', 'tail long'],
    ['M10 28c3-6 6-10 10-13', 'tail'],
    ['M3 21c4-6 8-9 13-11', 'tail'],
    ['M22 4.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11', 'head'],
  ] as const) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    path.setAttribute('class', name);
    svg.append(path);
  }
  return svg;
}
