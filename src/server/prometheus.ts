// Writes metrics in the Prometheus text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats). A
// client library would bring a registry and a second event loop's worth of features for what is a few lines of text.

/** Sent as the content type of such a text. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Collects one exposition: each metric's head, followed by its samples. */
export class MetricWriter {
  readonly #lines: string[] = [];

  /** Begins a metric. Its samples must follow before the next metric begins. */
  metric(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    this.#lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
  }

  sample(name: string, labels: Readonly<Record<string, string>>, value: number): void {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    this.#lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${formatValue(value)}`);
  }

  /** A metric with a single sample. */
  single(name: string, type: "counter" | "gauge", help: string, value: number): void {
    this.metric(name, type, help);
    this.sample(name, {}, value);
  }

  /** The whole text, ending in a line feed. */
  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replace(/"/g, '\\"');
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
