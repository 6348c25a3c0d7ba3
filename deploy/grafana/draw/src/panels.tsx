// Panels, put together from the components that Grafana publishes; the plugins around them it does
// not. The heat map has no published component: it is drawn here, in Grafana's colours.
import {
  FieldType,
  getFieldDisplayValues,
  getValueFormat,
  PanelPlugin,
  PanelProps,
  ReducerID,
  cacheFieldDisplayNames,
  formattedValueToString,
  renderMarkdown,
  VizOrientation,
  DataFrame,
} from '@grafana/data';
import { BigValue, BigValueColorMode, BigValueGraphMode, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React, { useMemo } from 'react';

const LINE = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  showPoints: 'auto',
  pointSize: 5,
  axisPlacement: 'auto',
  axisLabel: '',
  axisColorMode: 'text',
  axisBorderShow: false,
  scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' },
  thresholdsStyle: { mode: 'off' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  spanNulls: false,
  insertNulls: false,
  barAlignment: 0,
};

/** What a panel shows that has nothing to show; whoever draws them looks for it. */
const Nothing = () => <div data-nothing>No data</div>;

const drawable = (frame: DataFrame) =>
  frame.fields.some((field) => field.type === FieldType.number && field.values.some((value) => Number.isFinite(value)));

function Graph({ data, width, height, options, timeRange, timeZone }: PanelProps<any>) {
  const frames = useMemo(
    () =>
      data.series.filter(drawable).map((frame) => ({
        ...frame,
        fields: frame.fields.map((field) => ({ ...field, config: { ...field.config, custom: { ...LINE, ...field.config.custom } } })),
      })),
    [data]
  );
  if (!frames.length) {
    return <Nothing />;
  }
  const legend = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [], ...options.legend };
  return <TimeSeries {...{ frames, timeRange, timeZone, width, height, options }} structureRev={data.structureRev} legend={legend as any} />;
}

function Stat(props: PanelProps<any>) {
  const theme = useTheme2();
  if (!props.data.series.some(drawable)) {
    return <Nothing />;
  }
  const values = () =>
    getFieldDisplayValues({
      fieldConfig: props.fieldConfig,
      reduceOptions: { values: false, ...props.options.reduceOptions, calcs: [ReducerID.lastNotNull] },
      replaceVariables: props.replaceVariables,
      theme,
      data: props.data.series,
      sparkline: true,
      timeZone: props.timeZone,
    });
  const one = ({ value, width, height, count }: any) => (
    <BigValue
      {...{ width, height, theme, count }}
      value={{ ...value.display, title: count > 1 ? value.display.title : undefined }}
      sparkline={value.sparkline}
      colorMode={props.options.colorMode ?? BigValueColorMode.Value}
      graphMode={props.options.graphMode ?? BigValueGraphMode.Area}
      textMode={'auto' as any}
      justifyMode={'auto' as any}
    />
  );
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={() => ({}) as any}
      renderValue={one}
      width={props.width}
      height={props.height}
      source={props.data}
      orientation={VizOrientation.Auto}
      renderCounter={props.renderCounter}
      itemSpacing={3}
    />
  );
}

function Table(props: PanelProps<any>) {
  cacheFieldDisplayNames(props.data.series);
  const frame = props.data.series[0];
  if (!frame?.length) {
    return <Nothing />;
  }
  const more: any = { getActions: () => [], disableSanitizeHtml: true };
  return (
    <TableNG
      data={frame}
      width={props.width}
      height={props.height}
      structureRev={props.data.structureRev}
      timeRange={props.timeRange}
      fieldConfig={props.fieldConfig}
      {...more}
    />
  );
}

const OVERFLOW = Number.MAX_VALUE;

function Heat({ data, width, height, options, timeRange }: PanelProps<any>) {
  const bounds = data.series
    .map((frame) => ({ frame, bound: frame.name === '+Inf' ? OVERFLOW : Number.parseFloat(frame.name ?? '') }))
    .sort((one, other) => one.bound - other.bound);
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  // The series are cumulative: what a bucket holds is its own less that of the one below.
  const cells = bounds.flatMap(({ frame }, row) => {
    const [times, values] = frame.fields.map((field) => field.values as number[]);
    const below = row ? (bounds[row - 1].frame.fields[1].values as number[]) : undefined;
    return times.map((at, column) => ({ at, row, step: times[1] - times[0], count: values[column] - (below?.[column] ?? 0) }));
  });
  const most = Math.max(...cells.map((cell) => cell.count));
  if (!(most > 0)) {
    return <Nothing />;
  }
  const [left, bottom] = [70, 22];
  const tall = (height - bottom) / bounds.length;
  const x = (at: number) => left + ((at - from) / (to - from)) * (width - left);
  const format = getValueFormat(options.yAxis?.unit ?? 'short');
  const words = { fill: '#ccccdc', fontSize: 12 };
  const ticks = [0.1, 0.3, 0.5, 0.7, 0.9].map((share) => from + share * (to - from));
  return (
    <svg width={width} height={height} data-heat>
      {cells.map(({ at, row, step, count }) => (
        <rect
          key={`${at} ${row}`}
          x={x(at - step)}
          y={(bounds.length - 1 - row) * tall}
          width={Math.max(1, x(at) - x(at - step))}
          height={tall - 1}
          fill="#ff7f0e"
          opacity={count > 0 ? 0.15 + 0.85 * Math.sqrt(count / most) : 0}
        />
      ))}
      {bounds.map(({ bound }, row) => (
        <text key={row} x={left - 6} y={(bounds.length - row - 0.35) * tall} textAnchor="end" {...words}>
          {bound === OVERFLOW ? 'older' : formattedValueToString(format(bound))}
        </text>
      ))}
      {ticks.map((at) => (
        <text key={at} x={x(at)} y={height - 5} textAnchor="middle" {...words}>
          {new Date(at).toISOString().slice(11, 19)}
        </text>
      ))}
    </svg>
  );
}

function Words({ options }: PanelProps<any>) {
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(options.content) }} />;
}

function plugin(id: string, component: any, custom: Record<string, unknown> = {}) {
  const useCustomConfig = (builder: any) => {
    for (const [key, defaultValue] of Object.entries(custom)) {
      builder.addCustomEditor({
        id: key,
        path: key,
        name: key,
        defaultValue,
        editor: () => null,
        override: () => null,
        process: (value: unknown) => value,
        shouldApply: () => true,
      });
    }
  };
  const made = new PanelPlugin<any>(component).useFieldConfig({ useCustomConfig } as any);
  made.meta = { id, name: id, type: 'panel', module: '', baseUrl: '', sort: 1, info: { logos: { small: '', large: '' } } } as any;
  return made;
}

export const panels: Record<string, PanelPlugin> = {
  timeseries: plugin('timeseries', Graph, LINE),
  stat: plugin('stat', Stat),
  table: plugin('table', Table, { cellOptions: { type: 'auto' }, align: 'auto', inspect: false, hideFrom: { viz: false } }),
  heatmap: plugin('heatmap', Heat),
  text: plugin('text', Words),
};
