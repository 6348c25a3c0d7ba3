// What Grafana's application sets up at its start, as far as panels need it.
import {
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  EventBusSrv,
  FieldConfigProperty as Property,
  identityOverrideProcessor,
  LoadingState,
  numberOverrideProcessor,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import {
  FakeEchoSrv,
  setAppEvents,
  setBackendSrv,
  setDataSourceSrv,
  setEchoSrv,
  setPluginComponentHook,
  setPluginImportUtils,
  setPluginLinksHook,
  setRunRequest,
  setTemplateSrv,
} from '@grafana/runtime';
import { registerRuntimeDataSource } from '@grafana/scenes';
import { from, of } from 'rxjs';
import { catchError, map } from 'rxjs/operators';
import { panels } from './panels';
import { Prometheus } from './prometheus';

export type Fill = (text: string, scope?: any) => string;

function fieldConfig() {
  const property = (id: string, process: any, defaultValue?: unknown) =>
    ({ id, path: id, name: id, description: '', process, shouldApply: () => true, editor: () => null, override: () => null, settings: {}, defaultValue }) as any;
  const steps = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }] };
  return [
    property(Property.Unit, unitOverrideProcessor),
    property(Property.Min, numberOverrideProcessor),
    property(Property.Max, numberOverrideProcessor),
    property(Property.Decimals, numberOverrideProcessor),
    property(Property.DisplayName, displayNameOverrideProcessor),
    property(Property.Color, identityOverrideProcessor, { mode: 'palette-classic' }),
    property(Property.NoValue, identityOverrideProcessor),
    property(Property.Links, dataLinksOverrideProcessor),
    property(Property.Mappings, valueMappingsOverrideProcessor, []),
    property(Property.Thresholds, thresholdsOverrideProcessor, steps),
    property('fieldMinMax', identityOverrideProcessor),
    property('filterable', identityOverrideProcessor),
    property('actions', identityOverrideProcessor),
  ];
}

function transformers() {
  // Some are listed twice.
  const once = new Map(Object.values(standardTransformers).map((one: any) => [one.id, one]));
  return [...once.values()].map((one) => ({ id: one.id, name: one.name, transformation: one, editor: () => null })) as any;
}

/** `failed` hears of every query that went wrong. */
export function start(fill: Fill, fillLabels: Fill, scrape: number, failed: (said: string) => void) {
  standardEditorsRegistry.setInit(() => []);
  standardFieldConfigEditorRegistry.setInit(fieldConfig);
  standardTransformersRegistry.setInit(transformers);
  const imported = (id: string) => {
    if (!panels[id]) {
      failed(`panels of type ${id} are not known here`);
    }
    return panels[id];
  };
  setPluginImportUtils({ importPanelPlugin: async (id) => imported(id), getPanelPluginFromCache: imported });
  const source = new Prometheus(fillLabels, scrape);
  registerRuntimeDataSource({ dataSource: source });
  const settings: any = { uid: 'prometheus', name: 'Prometheus', type: 'prometheus', isDefault: true, meta: source.meta, jsonData: {}, access: 'proxy' };
  setDataSourceSrv({ get: async () => source, getList: () => [settings], getInstanceSettings: () => settings, reload() {}, registerRuntimeDataSource() {} } as any);
  setTemplateSrv({ replace: (text: any, scope: any) => text && fill(text, scope), getVariables: () => [], containsTemplate: () => false, updateTimeRange() {} } as any);
  setRunRequest(((data: any, request: any) =>
    from(data.query(request)).pipe(
      map((answer: any) => ({ state: LoadingState.Done, series: answer.data, timeRange: request.range, request })),
      catchError((error) => {
        failed(String(error));
        const errors = [{ message: String(error) }];
        return of({ state: LoadingState.Error, series: [], errors, error: errors[0], timeRange: request.range, request });
      })
    )) as any);
  setAppEvents(new EventBusSrv());
  setEchoSrv(new FakeEchoSrv());
  setBackendSrv({ get: async () => ({}), fetch: () => of({}) } as any);
  setPluginLinksHook(() => ({ links: [], isLoading: false }));
  setPluginComponentHook((() => ({ component: null, isLoading: false })) as any);
}
