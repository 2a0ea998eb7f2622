// Puts a viewer in the place of the still picture, where the browser can draw and fetch volumes.
const LOOK = {
  backColor: [0, 0, 0, 1],
  crosshairColor: [1, 1, 1, 0.5],
  crosshairWidth: 0.5,
  isRadiologicalConvention: true,
  sagittalNoseLeft: true,
};
const AMBER = { R: [0, 255], G: [0, 176], B: [0, 0], A: [0, 255], I: [0, 255] };

async function showVolume(form, still) {
  const viewer = new niivue.Niivue(LOOK);
  viewer.addColormap("lesion", AMBER);
  viewer.opts.multiplanarShowRender = niivue.SHOW_RENDER.ALWAYS;
  still.before(form);
  form.hidden = false;
  await viewer.attachToCanvas(form.querySelector("canvas"));
  viewer.setSliceType(niivue.SLICE_TYPE[form.view.value]);
  await viewer.loadVolumes([
    { url: `${form.dataset.files}flair.nii.gz`, colormap: form.colours.value },
    {
      url: `${form.dataset.files}lesion.nii.gz`,
      colormap: "lesion",
      opacity: Number(form.opacity.value),
    },
  ]);
  form.view.oninput = () => viewer.setSliceType(niivue.SLICE_TYPE[form.view.value]);
  form.colours.oninput = () => viewer.setColormap(viewer.volumes[0].id, form.colours.value);
  form.opacity.oninput = () => viewer.setOpacity(1, Number(form.opacity.value));
  still.hidden = true;
}

const volume = document.getElementById("volume");
if (location.protocol !== "file:" && document.createElement("canvas").getContext("webgl2"))
  showVolume(volume, document.querySelector("#fig-volume img")).catch((error) => {
    volume.hidden = true;
    console.warn(error);
  });
