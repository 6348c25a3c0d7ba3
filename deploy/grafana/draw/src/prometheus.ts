// Prometheus over its HTTP API: what Grafana's server does for its own data source.
import { createDataFrame, DataFrame, DataQueryRequest, FieldType, LoadingState, MetricFindValue } from '@grafana/data';
import { RuntimeDataSource } from '@grafana/scenes';

type Fill = (text: string, scope?: any) => string;
type Labels = Record<string, string>;

async function ask(path: string, fields: Record<string, string | number>): Promise<any> {
  const answer = await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(fields as any)}`);
  const said = await answer.json();
  if (said.status !== 'success') {
    throw new Error(`${said.errorType}: ${said.error}`);
  }
  return said.data;
}

const number = (text: string) => ({ '+Inf': Infinity, '-Inf': -Infinity })[text] ?? Number.parseFloat(text);

function named(labels: Labels, legend: string): string {
  if (legend) {
    return legend.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const rest = Object.entries(labels).filter(([label]) => label !== '__name__');
  return rest.map(([label, value]) => `${label}="${value}"`).join(', ') || 'value';
}

function line(target: any, labels: Labels, values: Array<[number, string]>): DataFrame {
  const name = named(labels, target.legendFormat);
  return createDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: values.map(([at]) => at * 1000) },
      { name: 'Value', type: FieldType.number, labels, config: { displayNameFromDS: name }, values: values.map(([, value]) => number(value)) },
    ],
  });
}

function rows(target: any, found: Array<{ metric: Labels; value: [number, string] }>): DataFrame {
  const labels = [...new Set(found.flatMap((one) => Object.keys(one.metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map((one) => one.value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: found.map((one) => one.metric[label] ?? '') })),
      { name: `Value #${target.refId}`, type: FieldType.number, values: found.map((one) => number(one.value[1])) },
    ],
  });
}

export class Prometheus extends RuntimeDataSource {
  constructor(
    private fill: Fill,
    private scrape: number
  ) {
    super('prometheus', 'prometheus');
  }

  async query(request: DataQueryRequest<any>): Promise<any> {
    const data = await Promise.all(request.targets.filter((one: any) => one.expr).map((one: any) => this.one(one, request)));
    return { data: data.flat(), state: LoadingState.Done };
  }

  private async one(target: any, { range, intervalMs, scopedVars, targets }: DataQueryRequest<any>): Promise<DataFrame[]> {
    const step = Math.max(this.scrape, Math.round((intervalMs || 1000) / 1000));
    // As Grafana has it: the larger of four scrapes, and a step and a scrape.
    const rate = Math.max(4 * this.scrape, step + this.scrape);
    const text = target.expr.replaceAll('$__rate_interval', `${rate}s`);
    const query = this.fill(text, scopedVars);
    if (target.instant) {
      const { result } = await ask('query', { query, time: range.to.unix() });
      const table = rows(target, result);
      if (targets.length === 1) {
        table.fields[table.fields.length - 1].name = 'Value';
      }
      return target.format === 'table' ? [table] : result.map((one: any) => line(target, one.metric, [one.value]));
    }
    const [start, end] = [range.from, range.to].map((moment) => Math.floor(moment.unix() / step) * step);
    const { result } = await ask('query_range', { query, start, end, step });
    return result.map((one: any) => line(target, one.metric, one.values));
  }

  async metricFindQuery(said: any): Promise<MetricFindValue[]> {
    const text = this.fill(typeof said === 'string' ? said : said.query);
    const found = /^label_values\((.+), (\w+)\)$/.exec(text);
    if (!found) {
      throw new Error(`a variable's query that is not known here: ${text}`);
    }
    const values: string[] = await ask(`label/${found[2]}/values`, { 'match[]': found[1] });
    return values.map((value) => ({ text: value }));
  }

  async testDatasource() {
    return { status: 'success', message: '' };
  }
}
