// A dashboard's JSON (schema version 1) as a scene, which is what Grafana itself makes of it.
import {
  behaviors,
  ConstantVariable,
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneControlsSpacer,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneQueryRunner,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
} from '@grafana/scenes';

function variable(said: any) {
  const { name, label, hide, multi, includeAll, allValue, current, query, datasource } = said;
  const common = { name, label, hide, isMulti: multi, includeAll, allValue, value: current?.value, text: current?.text };
  switch (said.type) {
    case 'datasource':
      return new DataSourceVariable({ ...common, pluginId: query });
    case 'query':
      return new QueryVariable({ ...common, query, datasource, sort: said.sort, refresh: said.refresh ?? 1 });
    case 'constant':
      return new ConstantVariable({ name, value: query, hide });
    default:
      throw new Error(`variable ${name}: type ${said.type} is not known here`);
  }
}

function panel(said: any) {
  const queries = said.targets && new SceneQueryRunner({ datasource: said.datasource, queries: said.targets });
  const steps = said.transformations ?? [];
  return new VizPanel({
    key: `panel-${said.id}`,
    title: said.title,
    description: said.description,
    pluginId: said.type,
    options: said.options ?? {},
    fieldConfig: { defaults: said.fieldConfig?.defaults ?? {}, overrides: said.fieldConfig?.overrides ?? [] },
    $data: steps.length ? new SceneDataTransformer({ $data: queries, transformations: steps }) : queries,
  });
}

const item = (said: any) =>
  new SceneGridItem({ x: said.gridPos.x, y: said.gridPos.y, width: said.gridPos.w, height: said.gridPos.h, body: panel(said) });

export function scene(board: any, from: string, to: string) {
  const rows: SceneGridRow[] = [];
  const alone: SceneGridItem[] = [];
  for (const said of board.panels) {
    if (said.type === 'row') {
      rows.push(new SceneGridRow({ title: said.title, y: said.gridPos.y, children: [] }));
    } else if (!rows.length) {
      alone.push(item(said));
    } else {
      const row = rows[rows.length - 1];
      row.setState({ children: [...row.state.children, item(said)] });
    }
  }
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from, to }),
    $variables: new SceneVariableSet({ variables: (board.templating?.list ?? []).map(variable) }),
    $behaviors: [new behaviors.CursorSync({ sync: board.graphTooltip ?? 0 })],
    controls: [new VariableValueSelectors({}), new SceneControlsSpacer(), new SceneTimePicker({})],
    body: new SceneGridLayout({ children: [...alone, ...rows] }),
  });
}
