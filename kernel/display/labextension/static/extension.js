// The JupyterLab plugin: every notebook gets a renderer for live views that knows the notebook's kernel.

import { Connection } from './connection.js';
import { LIVE_MIME } from './protocol.js';
import { addStyle } from './style.js';
import { LiveView } from './view.js';

/** The plugin, given the modules that JupyterLab shares. */
export function plugin(shared) {
  return {
    id: 'corriente-live:plugin',
    autoStart: true,
    activate: async app => {
      const { Widget } = await sharedModule(shared, '@lumino/widgets');
      addStyle(document);
      app.docRegistry.addWidgetExtension('Notebook', {
        createNew: (panel, context) => attach(Widget, panel, context)
      });
    }
  };
}

async function sharedModule(shared, name) {
  const versions = Object.values(shared[name] ?? {});
  const loaded = versions.find(version => version.loaded) ?? versions[0];
  if (!loaded) {
    throw new Error(`JupyterLab shares no ${name}`);
  }
  return (await loaded.get())();
}

/** Gives one notebook its renderer; what is returned takes it away again. */
function attach(Widget, panel, context) {
  const rendermime = panel.content.rendermime;
  const factory = {
    safe: true,
    mimeTypes: [LIVE_MIME],
    defaultRank: 10,
    createRenderer: () => renderer(Widget, context)
  };
  rendermime.addFactory(factory, 10);
  return {
    isDisposed: false,
    dispose() {
      this.isDisposed = true;
      rendermime.removeMimeType(LIVE_MIME);
    }
  };
}

function renderer(Widget, context) {
  const widget = new Widget();
  widget.addClass('corriente-output');
  let view = null;
  let model = null;

  widget.renderModel = async next => {
    model = next;
    const output = next.data[LIVE_MIME];
    // What this view stored itself comes back here: the live picture must not be touched by it.
    if (view && view.is(output)) {
      return;
    }
    view?.dispose();
    widget.node.replaceChildren();
    view = new LiveView(output, new Connection(context.sessionContext), store);
    widget.node.append(view.node);
  };

  // The notebook keeps the last picture: it is put into the model in the moment before the file is written, and not
  // more often, because each change makes the notebook look unsaved.
  const store = bundle => {
    if (model && bundle) {
      model.setData({
        data: { ...model.data, ...bundle.data },
        metadata: { ...model.metadata, ...bundle.metadata }
      });
    }
  };
  const onSave = (_, state) => {
    if (state === 'started') {
      view?.store();
    }
  };
  context.saveState.connect(onSave);
  widget.onAfterAttach = () => view?.look();
  widget.onAfterDetach = () => view?.look();
  const dispose = widget.dispose.bind(widget);
  widget.dispose = () => {
    context.saveState.disconnect(onSave);
    view?.dispose();
    view = null;
    dispose();
  };
  return widget;
}
