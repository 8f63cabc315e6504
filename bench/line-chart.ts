import { encodePng } from './png.js'

export interface Series {
  /** Capitals, digits and a few signs. */
  readonly title: string
  readonly values: readonly number[]
}

const palette = [
  [255, 255, 255],
  [0, 0, 0],
  [220, 220, 220],
  [20, 90, 170],
] as const
const [black, gray, blue] = [1, 2, 3]
const size = { width: 960, height: 300, left: 70, right: 20, top: 30, bottom: 36 }
const letterScale = 2

/** Three columns of five rows each, a row an octal digit from the top. */
const letters: Readonly<Record<string, string>> = {
  '0': '75557', '1': '26227', '2': '71747', '3': '71717', '4': '55711', '5': '74717', '6': '74757', '7': '71122',
  '8': '75757', '9': '75717', '.': '00002', ',': '00024', A: '25755', B: '65656', C: '34443', D: '65556', E: '74647',
  F: '74644', G: '34553', H: '55755', I: '72227', K: '55655', L: '44447', M: '57755', N: '65555', O: '25552', P: '65644',
  R: '65655', S: '34216', T: '72222', U: '55557', V: '55552', X: '55255', Y: '55222', '-': '00700',
} // prettier-ignore

/** PNG: a chart for each series, one below the other, over the same minutes; each with its largest value marked. */
export function lineCharts(series: readonly Series[], minutes: number): Buffer {
  const height = size.height * series.length
  const canvas = new Canvas(size.width, height)
  for (const [number, one] of series.entries()) drawChart(canvas, one, number * size.height, minutes)
  return encodePng(size.width, height, canvas.pixels, palette)
}

function drawChart(canvas: Canvas, { title, values }: Series, top: number, minutes: number): void {
  const [x0, x1] = [size.left, size.width - size.right]
  const [y0, y1] = [top + size.height - size.bottom, top + size.top]
  const most = Math.max(...values, 1)
  const step = niceStep(most / 5)
  const highest = Math.ceil((most * 1.05) / step) * step
  const yOf = (value: number): number => Math.round(y0 - ((y0 - y1) * value) / highest)
  const xOf = (fraction: number): number => Math.round(x0 + (x1 - x0) * fraction)
  for (let value = 0; value <= highest; value += step) {
    canvas.line(x0, yOf(value), x1, yOf(value), value === 0 ? black : gray)
    canvas.text(String(value), x0 - 8, yOf(value) - 5, 'right')
  }
  const minuteStep = niceStep(minutes / 10)
  for (let minute = 0; minute <= minutes; minute += minuteStep) {
    canvas.line(xOf(minute / minutes), y0, xOf(minute / minutes), y0 + 4, black)
    canvas.text(String(Number(minute.toFixed(2))), xOf(minute / minutes), y0 + 8, 'centre')
  }
  canvas.line(x0, y0, x0, y1, black)
  canvas.text('MINUTES', x1, y0 + 20, 'right')
  canvas.text(`${title}, MAX ${String(Math.round(most))}`, x0, top + 8, 'left')
  canvas.line(x0, yOf(most), x0 + 12, yOf(most), blue)
  for (let i = 1; i < values.length; i++) {
    const last = values.length - 1
    canvas.line(xOf((i - 1) / last), yOf(values[i - 1] ?? 0), xOf(i / last), yOf(values[i] ?? 0), blue)
  }
}

/** 1, 2 or 5 times a power of ten, not below `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least) ?? least
}

class Canvas {
  readonly pixels: Uint8Array
  readonly #width: number

  constructor(width: number, height: number) {
    this.#width = width
    this.pixels = new Uint8Array(width * height)
  }

  line(x0: number, y0: number, x1: number, y1: number, colour: number): void {
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1)
    for (let i = 0; i <= steps; i++)
      this.#put(Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps), colour)
  }

  text(text: string, x: number, y: number, align: 'left' | 'centre' | 'right'): void {
    const width = text.length * 4 * letterScale
    let left = align === 'left' ? x : align === 'right' ? x - width : x - Math.floor(width / 2)
    for (const letter of text) {
      const rows = letters[letter] ?? '00000'
      for (let row = 0; row < rows.length; row++) {
        const bits = Number(rows[row])
        for (let column = 0; column < 3; column++)
          if ((bits & (4 >> column)) !== 0) this.#dot(left + column * letterScale, y + row * letterScale)
      }
      left += 4 * letterScale
    }
  }

  #dot(x: number, y: number): void {
    for (let dx = 0; dx < letterScale; dx++)
      for (let dy = 0; dy < letterScale; dy++) this.#put(x + dx, y + dy, black)
  }

  #put(x: number, y: number, colour: number): void {
    if (x >= 0 && x < this.#width) this.pixels[y * this.#width + x] = colour
  }
}
