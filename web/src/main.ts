import { Engine } from "./answer";
import type { Page } from "./data";

const page = JSON.parse(document.getElementById("data")!.textContent!) as Page;
const engine = page.law.program ? new Engine(page) : null;
Object.assign(window, { m3jax: { page, engine } });
