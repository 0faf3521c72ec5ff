"""Every name of the companion in a chapter's code leads to the page that describes it."""

import ast
import importlib
import inspect
import re

from docutils import nodes

__all__ = ["link_names"]

CELL = re.compile(r'(?<=<div class="highlight-ipython3 notranslate"><div class="highlight"><pre>).*?(?=</pre>)', re.S)
# Names joined by dots as Pygments marks them, less what belongs to a result and what names an argument.
WORD = r'<span class="n[nd]?">([\w.]+)</span>'
CHAIN = re.compile(rf'(?<!<span class="o">\.</span>){WORD}(?:<span class="o">\.</span>{WORD})*(?!<span class="o">=<)')
OWN = {"fit", "partial_fit", "pretrain", "set_params", "from_parameters"}  # methods that return a model of their class


def link_names(app, pagename, templatename, context, doctree):
    """Put links into the code of a chapter's page (Sphinx's event html-page-context)."""
    if doctree is None or not pagename.startswith("chapters/"):
        return
    described = app.env.domains["py"].objects
    names = Names(described)
    cells = [cell.astext() for cell in doctree.findall(nodes.literal_block) if cell.get("language") == "ipython3"]

    def link_chain(chain):
        words = list(re.finditer(WORD, chain[0]))
        for count in range(len(words), 0, -1):  # as much of it as is described
            place = names.place([word[1] for word in words[:count]])
            if place:
                page, end = app.builder.get_relative_uri(pagename, described[place].docname), words[count - 1].end()
                start = f'<a class="code-link" href="{page}#{described[place].node_id}" title="{place}">'
                return f"{start}{chain[0][:end]}</a>{chain[0][end:]}"
        return chain[0]

    def link_cell(shown):
        names.read(cells.pop(0))
        return CHAIN.sub(link_chain, shown[0])

    context["body"] = CELL.sub(link_cell, context["body"])


class Names:
    """What the names in a chapter stand for, cell after cell: parts of the companion, and instances of its classes.

    Parameters
    ----------
    described : container of str
        The full names of all that has a place in the companion's pages.
    """

    def __init__(self, described):
        self.described, self.parts, self.instances = described, {}, {}

    def read(self, source):
        """Take in the code of a cell: what it imports, and what it makes."""
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "companion":
                for alias in node.names:
                    self.parts[alias.asname or alias.name] = _imported(node.module, alias.name)
            elif isinstance(node, ast.Assign):
                for target in filter(lambda each: isinstance(each, ast.Name), node.targets):
                    self.instances[target.id] = self._class_of(node.value)

    def _class_of(self, value):
        """Return of which class of the companion a call makes an instance; None where it is no such call."""
        if not isinstance(value, ast.Call):
            return None
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in OWN:
            value = value.func.value
        name = value.func if isinstance(value, ast.Call) else value
        made = None
        if isinstance(name, ast.Name):
            made = self.parts.get(name.id)
        elif isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
            made = getattr(self.parts.get(name.value.id), name.attr, None)
        return made if inspect.isclass(made) else None

    def place(self, words):
        """Return the full name of what some words, joined by dots in the code, stand for; None if it has no page."""
        first, *others = words
        if first.startswith("companion"):
            return first if first in self.described else None
        thing = self.parts.get(first) or (self.instances.get(first) if others else None)
        names = [_full_name(thing)]
        for word in others:
            owners = thing.__mro__ if inspect.isclass(thing) else [thing]
            thing = getattr(thing, word, None)
            names = [_full_name(thing), *(f"{_full_name(owner)}.{word}" for owner in owners)]
        return next((name for name in names if name in self.described), None)


def _imported(module, name):
    """Return what ``from module import name`` gives."""
    module = importlib.import_module(module)
    return getattr(module, name, None) or importlib.import_module(f"{module.__name__}.{name}")


def _full_name(thing):
    """Return under which name a module, a class, a function or a method is described; empty for anything else."""
    if inspect.ismodule(thing):
        return thing.__name__
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else ""
