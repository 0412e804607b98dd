const SVG = 'http://www.w3.org/2000/svg';

/** Strokes on a field of 24 × 24. */
const PATHS = {
  send: ['M5 12h13', 'M12 5l7 7-7 7'],
  back: ['M15 5l-7 7 7 7'],
  down: ['M12 5v14', 'M6 13l6 6 6-6'],
  plus: ['M12 5v14', 'M5 12h14'],
  chevron: ['M7 10l5 5 5-5'],
  check: ['M5 13l4 4L19 7'],
  tick: ['M6 12.5l4 4 8-9'],
  ticks: ['M2.5 12.5l4 4 8-9', 'M11 15.5l1.2 1 8.3-9'],
  clock: ['M12 7v5l3 2', 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18'],
  alert: ['M12 7v6', 'M12 16.5v.2', 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18'],
  sun: [
    'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8',
    'M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1',
  ],
  moon: ['M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5'],
  auto: ['M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18', 'M12 3a9 9 0 0 1 0 18z'],
  leave: ['M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4', 'M8 8l-4 4 4 4', 'M4 12h11'],
  offline: ['M4 9a12 12 0 0 1 16 0', 'M7.5 13a7 7 0 0 1 9 0', 'M12 17.5v.2', 'M4 4l16 16'],
} as const;

export type Icon = keyof typeof PATHS;

/** A line icon in the colour of the text, for the eye alone. */
export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}
