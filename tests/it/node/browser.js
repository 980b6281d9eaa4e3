// A browser that signs in at provider.js: `node browser.js URL NAME` follows URL, fills in the forms as NAME, and prints the first address
// that is not the provider's. With FOLLOW=1 it goes there, too.
"use strict";
const cookies = new Map();

async function go(url, form) {
  const response = await fetch(url, {
    method: form ? "POST" : "GET",
    redirect: "manual",
    headers: { Cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
    body: form && new URLSearchParams(form),
  });
  for (const cookie of response.headers.getSetCookie()) {
    const [name, ...value] = cookie.split(";")[0].split("=");
    cookies.set(name, value.join("="));
  }
  const location = response.headers.get("location");
  return { status: response.status, text: await response.text(), next: location && new URL(location, url).href };
}

async function main([start, name]) {
  const origin = new URL(start).origin;
  let [url, form] = [start, undefined];
  for (let steps = 0; steps < 20; steps += 1) {
    const page = await go(url, form);
    if (page.next) {
      [url, form] = [page.next, undefined];
      if (new URL(url).origin === origin) continue;
      console.log(url);
      if (process.env.FOLLOW === "1") await fetch(url);
      return;
    }
    const prompt = /name="prompt" value="(\w+)"/.exec(page.text)?.[1];
    const action = /<form[^>]* action="([^"]+)"/.exec(page.text)?.[1];
    if (!prompt || !action) throw new Error(`${page.status} ${url}: ${page.text.slice(0, 2000)}`);
    [url, form] = [new URL(action, url).href, { prompt, login: name, password: "any" }];
  }
  throw new Error("it never ends");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
