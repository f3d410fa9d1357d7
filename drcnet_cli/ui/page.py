"""The page itself: what is on it, and what its parts show. All of it is Gradio's."""

from typing import Any

from drcnet_cli.errors import import_extra
from drcnet_cli.imageio import writable_formats
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.tasks import TASKS
from drcnet_cli.ui import NEEDED
from drcnet_cli.ui.examples import example_pictures
from drcnet_cli.ui.handlers import AS_INPUT, Handlers
from drcnet_cli.ui.store import Store
from drcnet_cli.weights.manifest import load_manifest

gr: Any = import_extra("gradio", "ui", NEEDED)

WAITING = 20  # visitors in line
_SWEPT_EVERY, _SWEPT_AFTER = 600, 3600  # seconds, for uploads that nobody came back to
_WORDS = (
    "# drcnet\nNoise, rain, blur or haze, removed from photographs by the machine that serves this "
    "page. Pictures are deleted when you leave; metadata, transparency and 16 bits are kept."
)
_ABOUT_PROGRAMS = (
    "Restore one picture: remove noise, rain, blur or haze from a photograph. task: auto looks at "
    "the picture and chooses; strength: 0 (the input) to 1; format: as the input, png, jpg, ...; "
    "keep_grain: 0 to 1, how much of the grain comes back where noise is removed"
)


def build_page(base: RestoreConfig, store: Store, limit: int) -> Any:  # noqa: ANN401 - gr.Blocks
    """Make the page; `base` says where and how to compute, `limit` how many pictures at a time."""
    do = Handlers(base, store, limit)
    with gr.Blocks(
        title="drcnet", analytics_enabled=False, delete_cache=(_SWEPT_EVERY, _SWEPT_AFTER)
    ) as page:
        gr.Markdown(_WORDS)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                asked = _draw_choices(do)
                with gr.Row():
                    start = gr.Button("Restore", variant="primary", elem_id="restore")
                    stop = gr.Button("Cancel", elem_id="cancel")
            with gr.Column(scale=2, min_width=300):
                shown = _draw_results(do)
        begun = start.click(
            do.restore_all,
            asked,
            shown,
            show_progress_on=shown[1],
            **_private(concurrency_id="restore", concurrency_limit=1),
        )
        stopped = stop.click(do.stop, cancels=[begun], **_private(queue=False))
        stopped.then(do.offer, shown[0], shown[4], **_private(queue=False))
        _offer_to_programs(do, asked)
        page.unload(do.forget)
    page.queue(max_size=WAITING)
    return page


def _private(**settings: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the settings of what is for the page alone."""
    return {"api_visibility": "private", **settings}


def _draw_choices(do: Handlers) -> list[Any]:
    """Draw what can be chosen: pictures, task, checkpoint, strength, format and grain."""
    pictures = gr.File(label="Photographs", file_count="multiple", height=170, elem_id="pictures")
    if examples := example_pictures():
        samples = [[str(path)] for path in examples]
        offered = gr.Dataset(
            label="Examples",
            elem_id="examples",
            components=[gr.Image(visible=False)],
            samples=samples,
            type="index",
        )
        offered.click(lambda number: samples[number], offered, pictures, **_private())
    manifest = load_manifest()
    ready = {checkpoint.task for checkpoint in manifest.checkpoints if checkpoint.default}
    tasks = sorted((task for task in TASKS if task in ready), key=lambda task: task != "auto")
    task = gr.Dropdown(
        [(f"{name}: {TASKS[name].noun.rsplit(',', 1)[0]}", name) for name in tasks],
        value=tasks[0],
        label="What to remove",
        elem_id="task",
    )
    strength = gr.Slider(
        0, 1, 1, step=0.05, label="Strength", info="0 is the input", elem_id="strength"
    )
    grain = gr.Slider(
        0, 1, 0, step=0.05, label="Keep grain", info="Of noise, without colour", elem_id="grain"
    )
    formats = [AS_INPUT, *writable_formats()]
    format = gr.Dropdown(formats, value=AS_INPUT, label="Format", elem_id="format")
    with gr.Accordion("A checkpoint of your own", open=False, elem_id="own"):
        weights = gr.File(label=".safetensors", height=120, elem_id="weights")
    for part in (pictures, weights):
        part.upload(do.note, part, None, **_private(queue=False, show_progress="hidden"))
    return [pictures, task, weights, strength, format, grain]


def _draw_results(do: Handlers) -> list[Any]:
    """Draw what is shown of a run."""
    run = gr.State()
    slider = gr.ImageSlider(label="Before and after", interactive=False, elem_id="slider")
    names = gr.Dropdown([], label="Picture", visible=False, elem_id="names")
    with gr.Row():
        one = gr.DownloadButton("Download", interactive=False, elem_id="one")
        everything = gr.DownloadButton("Download all (zip)", interactive=False, elem_id="all")
    table = gr.Dataframe(
        headers=["Picture", "Result"],
        label="Results",
        interactive=False,
        wrap=True,
        column_widths=["35%", "65%"],
        elem_id="table",
    )
    names.input(do.show, [run, names], [slider, one], **_private())
    return [run, slider, names, one, everything, table]


def _offer_to_programs(do: Handlers, asked: list[Any]) -> None:
    """Offer one picture's restoration over HTTP and MCP, in line with the page's own."""
    _, task, _, strength, format, grain = asked
    with gr.Row(visible=False):
        picture, result = gr.File(label="picture"), gr.File(label="restored")
        gr.Button().click(
            do.restore,
            [picture, task, strength, format, grain],
            result,
            api_name="restore",
            api_description=_ABOUT_PROGRAMS,
            concurrency_id="restore",
        )
