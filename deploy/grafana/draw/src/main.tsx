// Draws the dashboard that ?board names, over the time from ?from to ?to.
import { createTheme, ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { config, LocationServiceProvider, locationService } from '@grafana/runtime';
import { sceneGraph } from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { scene as sceneOf } from './board';
import { start } from './grafana';

// Whoever opens this page asks for these afterwards.
const errors: string[] = ((window as any).errors = []);
addEventListener('error', (event) => errors.push(event.message));
addEventListener('unhandledrejection', (event) => errors.push(String(event.reason)));

const theme = createTheme({ colors: { mode: 'dark' } });
(config as any).theme2 = theme;

let scene: any;
const context = (scope?: any) => scope?.__sceneObject?.value?.valueOf?.() ?? scene;
const fill = (text: string, scope?: any) => sceneGraph.interpolate(context(scope), text, scope);

// In a label's matcher several values are alternatives, and all are patterns.
const escaped = (value: unknown) => String(value).replace(/[\\^$*+?.()|[\]{}/]/g, '\\\\$&');
const alternatives = (value: any, about: any) => {
  if (Array.isArray(value)) {
    return `(${value.map(escaped).join('|')})`;
  }
  return about?.multi || about?.includeAll ? escaped(value) : String(value);
};
const fillLabels = (text: string, scope?: any) => sceneGraph.interpolate(context(scope), text, scope, alternatives as any);

async function draw() {
  const asked = new URLSearchParams(location.search);
  start(fill, fillLabels, Number(asked.get('scrape') ?? 15), (said) => errors.push(said));
  await initPluginTranslations('relay-dashboards');
  const board = await (await fetch(`/boards/${asked.get('board')}.json`)).json();
  scene = sceneOf(board, asked.get('from') ?? 'now-1h', asked.get('to') ?? 'now');
  const Scene = scene.Component;
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <LocationServiceProvider service={locationService}>
        <MemoryRouter>
          <div style={{ padding: 16, display: 'flex', minHeight: '100vh', boxSizing: 'border-box' }}>
            <Scene model={scene} />
          </div>
          <PortalContainer />
        </MemoryRouter>
      </LocationServiceProvider>
    </ThemeContext.Provider>
  );
}

draw().catch((error) => errors.push(`start: ${error.stack}`));
