// Looks at pages in Chromium, in both colour schemes and on a phone as well as on a desk: what the console complains of,
// whether something is wider than the screen, and what axe-core finds. Prints a line of JSON for each look.
//
// Standard input is JSON: {"chromium": PATH, "urls": [URL, ...]}, or {..., "picture": PATH} for a picture of the first page
// instead.

'use strict';

const fs = require('node:fs');
const { chromium } = require('playwright-core');

const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const SCREENS = [{ width: 360, height: 740 }, { width: 1280, height: 900 }];
const SCHEMES = ['light', 'dark'];
// What the picture shows: the first screens of a desk.
const PICTURE = { width: 960, height: 1440 };
// A page of a hundred incidents takes axe a few seconds on a slow machine.
const TIMEOUT_MS = 120_000;

async function looks(browser, url, axe) {
  // axe runs as a script, which the policy of the pages forbids.
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.goto(url);
  await page.addScriptTag({ content: axe });
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  for (const screen of SCREENS) {
    await page.setViewportSize(screen);
    const closed = await width();
    // Closed parts of a page are looked at as well.
    await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
    const widest = Math.max(closed, await width());
    for (const scheme of SCHEMES) {
      await page.emulateMedia({ colorScheme: scheme });
      const { violations } = await page.evaluate(() => window.axe.run(document));
      const faults = violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map((node) => node.html).slice(0, 3) }));
      console.log(JSON.stringify({ url, screen: screen.width, scheme, width: widest, faults }));
    }
    await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = false; }));
  }
  await context.close();
}

// Without the bypass, because the policy itself may be what the console complains of.
async function complaints(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const heard = [];
  page.on('console', (message) => heard.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => heard.push(String(error)));
  page.on('requestfailed', (request) => heard.push(`failed: ${request.url()}`));
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url, { waitUntil: 'networkidle' });
  const styled = await page.evaluate(() => getComputedStyle(document.body).maxWidth !== 'none');
  await context.close();
  return { url, complaints: heard, requests: requests.filter((asked) => !asked.startsWith('data:')), styled };
}

async function main() {
  const { chromium: executablePath, urls, picture } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
  try {
    if (picture) {
      const context = await browser.newContext({ viewport: PICTURE, colorScheme: 'light' });
      const page = await context.newPage();
      await page.goto(urls[0]);
      await page.locator('details').first().evaluate((details) => { details.open = true; });
      const session = await context.newCDPSession(page);
      const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 70 });
      fs.writeFileSync(picture, Buffer.from(data, 'base64'));
      return;
    }
    const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
    for (const url of urls) {
      console.log(JSON.stringify(await complaints(browser, url)));
      await looks(browser, url, axe);
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
