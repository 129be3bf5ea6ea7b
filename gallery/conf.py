"""Sphinx's configuration, and the links from d2l's names to where they are defined."""
import re
import warnings

import d2l
from gallery import cache, pages

# autodoc parses the listing of 14.9, '\(' and all, to show the defaults of its arguments
warnings.filterwarnings('ignore', '.*invalid escape sequence', SyntaxWarning)

project = 'Dive into Deep Learning, run'
author = 'd2l on MXNet'
version = release = d2l.__version__
html_title = project
copyright = 'the developers of d2l on MXNet; of the listings: Zhang, Lipton, Li and Smola'

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx_copybutton', 'sphinx_design']
myst_enable_extensions = ['colon_fence']
copybutton_selector = 'div.cell_input div.highlight pre, div.highlight-bash pre'
nb_execution_mode = 'off'                   # chapters.execute executed them
myst_heading_anchors = 3
suppress_warnings = ['myst.header']         # a section may go from its title to ### at once
default_role = 'code'
autodoc_preserve_defaults = True            # ctx=d2l.try_gpu(), not the device that was found
autodoc_inherit_docstrings = False          # else every forward had the docstring of Gluon's

html_theme = 'furo'
html_static_path = ['gallery.css']
html_favicon = 'favicon.svg'
html_css_files = ['gallery.css']
html_copy_source = html_show_sourcelink = False
html_theme_options = {'navigation_with_keys': True}

CELL = '<div class="cell docutils container"'
USED = re.compile(
    r'<span class="n">d2l</span><span class="o">\.</span><span class="n">(\w+)</span>')
DEFINED = re.compile(r'(<span class="k">(?:def|class)</span><span class="w"> </span>)'
                     r'(<span class="n[fc]">(\w+)</span>)')


def linked(body, here, names, uri):
    """Return the HTML of a page with a link on each of d2l's names, and with a list at its foot of
    what it uses of d2l.

    here: the page; names: {name: (page, listing) of its definition}; uri: a function from a page to
    its address as seen from here. d2l.name leads to the listing that defines it, a definition to
    the API. (sphinx-codeautolink links all names to the API, and knows no listings.)
    """
    def address(name):
        page, listing = names[name]
        return f"{'' if page == here else uri(page)}#listing-{listing}" if page \
            else f'{uri("api")}#d2l.{name}'

    def used(match):
        name = match[1]
        if name not in names:
            return match[0]
        found[name] = None
        return f'<a class="d2l" href="{address(name)}">{match[0]}</a>'

    def defined(match):
        if names.get(match[3]) != (here, number):
            return match[0]
        return f'{match[1]}<a class="d2l" href="{uri("api")}#d2l.{match[3]}">{match[2]}</a>'

    found = {}
    first, *cells = body.split(CELL)
    for number, cell in enumerate(cells):
        cells[number] = (f'{CELL} id="listing-{number}"'
                         + DEFINED.sub(defined, USED.sub(used, cell)))
    foot = ''.join(f'<li><a href="{address(name)}"><code>d2l.{name}</code></a> '
                   f'<a class="api" href="{uri("api")}#d2l.{name}">API</a></li>'
                   for name in sorted(found, key=str.lower))
    if foot:
        foot = f'<aside class="d2l"><p>From d2l, on this page:</p><ul>{foot}</ul></aside>'
    return first + ''.join(cells) + foot


def _link(app, pagename, templatename, context, doctree):
    if 'body' in context:
        context['body'] = linked(context['body'], pagename, app.config.d2l_names,
                                 lambda page: app.builder.get_relative_uri(pagename, page))


def _plain(app, what, name, obj, options, lines):
    """The docstrings are plain text with `code` in backticks: a star is a star."""
    lines[:] = [''.join(part if part.startswith('`') else re.sub(r'([\\*|])', r'\\\1', part)
                        for part in re.split(r'(`+[^`]*`+)', line)) for line in lines]


def setup(app):
    """Register the links; every page is written anew when they, or what makes them, change."""
    app.add_config_value('d2l_names', pages.d2l_names(), 'html')
    app.add_config_value('d2l_made_by', cache.digest(cache.contents(cache.HERE)),
                         'html')
    app.connect('html-page-context', _link)
    app.connect('autodoc-process-docstring', _plain)
