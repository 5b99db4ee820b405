// Before anything is drawn, so that nobody is dazzled.
(function () {
  try {
    var theme = localStorage.getItem("trio_dask.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (error) { /* no storage: as the system says */ }
})();
