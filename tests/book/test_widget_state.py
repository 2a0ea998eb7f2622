"""Of saved widgets only those that an output shows are kept, with all that they need."""

from ipywidgets import HTML, IntSlider, Stack, VBox, jslink
from ipywidgets.embed import dependency_state, embed_data
from nbformat.v4 import new_code_cell, new_notebook, new_output

from ubc_lib.book.publish import STATE, forget_unshown_widgets


def chooser(text: str) -> VBox:
    slider, stack = IntSlider(), Stack([HTML(text)])
    jslink((slider, "value"), (stack, "selected_index"))
    return VBox([slider, stack])


def saved(*widgets: VBox, shown: int):
    state = embed_data(widgets, state=dependency_state(widgets))["manager_state"]
    outputs = [new_output("display_data", one._repr_mimebundle_()) for one in widgets]
    cells = [new_code_cell(outputs=[output]) for output in outputs[:shown]]
    return new_notebook(cells=cells, metadata={"widgets": {STATE: state}})


def test_what_is_shown_keeps_its_parts_and_links_and_the_rest_goes():
    first, second = chooser("kept"), chooser("secret")
    notebook = saved(first, second, shown=1)
    everything = set(notebook.metadata["widgets"][STATE]["state"])
    forget_unshown_widgets(notebook)
    left = notebook.metadata["widgets"][STATE]["state"]
    assert set(left) == set(saved(first, shown=1).metadata["widgets"][STATE]["state"])
    assert set(left) < everything
    assert "secret" not in str(notebook)
    assert sum(model["model_name"] == "LinkModel" for model in left.values()) == 1


def test_nothing_is_kept_where_nothing_is_shown():
    notebook = saved(chooser("secret"), shown=0)
    forget_unshown_widgets(notebook)
    assert "widgets" not in notebook.metadata
