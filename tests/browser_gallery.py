"""The built gallery in a real browser: `make test-gallery`. Not part of the default test run."""
import functools
import http.server
import shutil
import threading
import urllib.parse

import pytest

from chapters.sections import all_sections, find
from gallery.pages import SITE
from gallery.pictures import OPTIONS

CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
PHONE, DESKTOP = (390, 844), (1400, 1000)       # CSS pixels
SIZES = [PHONE, (820, 1180), (1280, 800)]
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob('*.html'))

pytestmark = [
    pytest.mark.skipif(not PAGES, reason='there is no site: make gallery'),
    pytest.mark.skipif(not (CHROMIUM and DRIVER),
                       reason='no browser: apt-get install chromium chromium-driver'),
    pytest.mark.filterwarnings('ignore::ResourceWarning')]     # Selenium leaves sockets open


def page_of(number):
    """The address of a section's page, relative to the site's address."""
    section, = find(number)
    return f'{section.path.parent.name}/{section.path.stem}.html'


@pytest.fixture(scope='module')
def site():
    """Serve the site on this machine; yields its address, which ends in a slash."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0),
                                             functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()
    server.server_close()


@pytest.fixture(scope='module')
def browser():
    """Chromium; its log keeps what each page writes to the console."""
    selenium = pytest.importorskip('selenium.webdriver', reason='no Selenium: make gallery')
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = selenium.Chrome(options, selenium.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def at(browser, site):
    """A function that opens a page of the site in a window of some size and returns the browser."""
    def open_page(page, size=DESKTOP):
        browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
            'width': size[0], 'height': size[1], 'deviceScaleFactor': 1, 'mobile': size == PHONE})
        browser.get_log('browser')
        browser.get(site + page)
        return browser
    return open_page


def test_every_section_has_a_page():
    assert {page_of(section.number) for section in all_sections()} <= set(PAGES)


@pytest.mark.parametrize('page', PAGES)
def test_no_console_messages_and_every_figure_is_there(at, page):
    browser = at(page)
    assert [entry for entry in browser.get_log('browser') if entry['level'] != 'DEBUG'] == []
    broken = browser.execute_script(
        'return Array.from(document.images).filter(i => !i.complete || !i.naturalWidth)'
        '.map(i => i.src)')
    assert broken == []


@pytest.mark.parametrize('page', PAGES)
def test_a_page_fits_a_phone(at, page):
    """Nothing is wider than the screen: code and tables scroll by themselves."""
    browser = at(page, PHONE)
    assert browser.execute_script('return document.documentElement.scrollWidth') <= PHONE[0]
    assert browser.execute_script("return document.querySelector('[role=main]').offsetWidth") > 0


@pytest.mark.parametrize('page', PAGES)
@pytest.mark.parametrize('size', SIZES, ids=lambda size: str(size[0]))
def test_no_column_is_hidden(at, page, size):
    """No table is wider than the screen, or cut off by the box around it."""
    hidden = at(page, size).execute_script(
        "return Array.from(document.querySelectorAll('article table')).filter(table => {"
        'const box = table.parentElement;'
        "const clips = getComputedStyle(box).overflowX !== 'visible';"
        'return table.getBoundingClientRect().right > innerWidth '
        '|| clips && box.scrollWidth > box.clientWidth + 1; })'
        '.map(table => table.textContent.trim().slice(0, 60))')
    assert hidden == []


@pytest.mark.parametrize('page', PAGES)
def test_nothing_comes_from_another_host(at, site, page):
    asked = at(page).execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked and [name for name in asked if not name.startswith((site, 'data:'))] == []


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_figures_follow_the_theme(browser, at, scheme):
    """The dark theme changes the colours of line plots; photographs stay as they are."""
    browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
        'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})
    try:
        filters = {number: at(page_of(number)).execute_script(
            "return Array.from(document.querySelectorAll('.cell_output img')).map("
            'image => getComputedStyle(image).filter)') for number in ('2.4', '13.3')}
    finally:
        browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})
    assert filters['2.4'] and all((text != 'none') == (scheme == 'dark') for text in filters['2.4'])
    assert filters['13.3'] and set(filters['13.3']) == {'none'}


def test_listings_have_a_copy_button_and_the_page_a_download(at):
    browser = at(page_of('2.4'))
    listings = browser.find_elements('css selector', '.cell_input div.highlight')
    assert len(listings) > 3
    assert len(browser.find_elements('css selector', '.cell_input button.copybtn')) == len(listings)
    assert browser.find_elements('css selector', 'a.download[href$=".ipynb"]')


def test_modules_do_not_look_like_links(at):
    found = at(page_of('2.4')).execute_script(
        "return Array.from(document.querySelectorAll('.highlight .nn')).map("
        'name => getComputedStyle(name).textDecorationLine)')
    assert found and set(found) == {'none'}


def test_the_front_page_has_a_card_for_each_chapter(at):
    cards = at('index.html').find_elements('css selector', '.sd-card')
    titles = [card.find_element('css selector', '.sd-card-title').text for card in cards]
    chapters = {section.number.split('.')[0] for section in all_sections()
                if (SITE / page_of(section.number)).exists()}
    assert {title.split()[0] for title in titles if title[0].isdigit()} | {'0'} == chapters | {'0'}


@pytest.mark.parametrize('page', PAGES)
def test_a_page_shows_its_contents_on_a_desktop(at, page):
    browser = at(page)
    left = browser.execute_script(
        "return document.querySelector('.sidebar-drawer').getBoundingClientRect().left")
    assert left >= 0 and browser.execute_script(
        'return document.documentElement.scrollWidth') <= DESKTOP[0]


@functools.lru_cache(maxsize=None)
def ids(page):
    """The ids in the HTML file of a page."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup((SITE / page).read_text(), 'html.parser')
    return {tag['id'] for tag in soup.find_all(id=True)}


@pytest.mark.parametrize('page', PAGES)
def test_every_internal_link_leads_somewhere(at, site, page):
    links = at(page).execute_script('return Array.from(document.links).map(a => a.href)')
    broken = []
    for link in set(links):
        address, _, fragment = link.partition('#')
        if address.startswith(site):
            target = urllib.parse.unquote(address[len(site):].partition('?')[0]) or 'index.html'
            if not (SITE / target).is_file() or fragment and target.endswith('.html') \
                    and urllib.parse.unquote(fragment) not in ids(target):
                broken.append(link)
    assert links and broken == []


@pytest.mark.parametrize('word, title', [('Residual', '7.6 '), ('LeNet', '6.6 ')])
def test_search_finds(at, word, title):
    from selenium.webdriver.support.ui import WebDriverWait

    browser = at(f'search.html?q={word}')
    found = WebDriverWait(browser, 30).until(lambda browser: browser.execute_script(
        "const a = Array.from(document.querySelectorAll('#search-results li > a'));"
        'return a.length ? a.map(link => link.textContent) : null'))
    assert any(text.startswith(title) for text in found), found
    assert [e for e in browser.get_log('browser') if e['level'] == 'SEVERE'] == []


def test_a_name_leads_to_its_definition_and_from_there_to_the_api(at):
    browser = at(page_of('7.6'))
    definition = browser.find_element('css selector', '#listing-0 a.d2l .nc')
    assert definition.text == 'Residual'
    definition.click()
    assert browser.current_url.endswith('api.html#d2l.Residual')
    assert 'residual block' in browser.find_element(
        'xpath', '//dt[@id="d2l.Residual"]/following-sibling::dd').text
    browser = at(page_of('7.7'))
    link = browser.find_element('xpath', '//aside[@class="d2l"]//a[code="d2l.train_ch5"]')
    assert link.get_attribute('href').endswith(f"{page_of('6.6')}#listing-4")
    browser.get(link.get_attribute('href'))
    assert 'def train_ch5' in browser.find_element('id', 'listing-4').text


def test_a_page_shows_code_outputs_figures_and_how_it_ran(at):
    body = at(page_of('6.6')).find_element('tag name', 'article')
    assert '6.6.1' in body.text and 'sample data' in body.find_element(
        'css selector', '.admonition.how').text
    assert 'loss' in body.find_element('css selector', '.cell_output').text \
        or body.find_elements('css selector', '.cell_output img')
    assert len(body.find_elements('css selector', '.cell_output img')) >= 1
    assert 'test acc' in body.text


def test_the_contents_are_in_the_book_s_order(at):
    links = at('index.html').find_elements('css selector', 'article .toctree-wrapper a')
    numbers = [text.split()[0] for text in (link.text for link in links) if text[0].isdigit()]
    order = [tuple(map(int, number.split('.'))) for number in numbers]
    assert order == sorted(order)
    assert {section.number for section in all_sections()} <= set(numbers)


def test_the_regression_and_the_stored_numbers_are_on_one_page(at):
    text = at('regression.html').find_element('tag name', 'article').text
    assert ' 0 failed' in text and 'lenet' in text and 'first values' in text


def test_a_page_says_which_sections_ran_on_sample_data(at):
    rows = at('how-it-ran.html').execute_script(
        "return Array.from(document.querySelectorAll('tbody tr')).map("
        'row => Array.from(row.cells).map(cell => cell.textContent.trim()))')
    data = {title.split()[0]: used for title, used, _ in rows}
    assert data == {section.number: f"sample: {', '.join(section.data)}" if section.data else '–'
                    for section in all_sections()}
