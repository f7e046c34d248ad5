// The door that JupyterLab knocks on: a module-federation container written by hand, so that installing needs no
// build. It loads the modules beside it, whatever path the server serves them from.
(() => {
  const here = document.currentScript.src;
  let shared = {};
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['corriente-live'] = {
    init: async scope => {
      shared = scope;
    },
    get: async module => {
      if (module !== './extension') {
        throw new Error(`corriente-live has no module ${module}`);
      }
      const { plugin } = await import(new URL('extension.js', here).href);
      // A plain object: JupyterLab writes the scope's name into it, which an ES module would not allow.
      return () => ({ __esModule: true, default: plugin(shared) });
    }
  };
})();
