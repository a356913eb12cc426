// The sign-in: by the code of a one-time link, or by name and password. In place when a session ended in mid-action.

import { BASE, shownPath, signIn } from "./api.js";
import { Dialog, Problem, onSent, useAttempt } from "./parts.js";
import { signedIn, state } from "./state.js";
import { html } from "./vendor/htm-preact.module.js";

/** Signs in by the link that this page was opened with, if it was. The answer: what went wrong, or null. */
export async function signInByLink() {
  if (shownPath() !== "/signin") return null;
  const code = location.hash.slice(1); // behind the #, which a browser sends to nobody; it goes from the address at once
  history.replaceState(null, "", `${BASE}/`);
  try {
    if (code) signedIn(await signIn("code", { code }));
  } catch (error) {
    return error;
  }
  return null;
}

/** @param {{first?: any}} given what went wrong with the link */
function SignInForm({ first = null }) {
  const { isBusy, error, attempt } = useAttempt();

  /** @param {FormData} form */
  const submit = (form) => attempt(async () => {
    const link = String(form.get("link") ?? "").trim();
    const code = link.includes("#") ? link.slice(link.indexOf("#") + 1) : link;
    const given = { name: String(form.get("name")), password: String(form.get("password")) };
    signedIn(await (code ? signIn("code", { code }) : signIn("password", given)));
  });

  return html`<form class="signin" onSubmit=${onSent(submit)}>
    <p>On the host's machine <code>microclaw status --open</code> prints a link that signs you in once. Open it, or paste it here.</p>
    <label>Link <input name="link" autocomplete="off" spellcheck=${false} maxlength="300" /></label>
    <p class="or">or with a password</p>
    <label>Name <input name="name" autocomplete="username" maxlength="80" /></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" maxlength="128" /></label>
    <${Problem} error=${error ?? (isBusy ? null : first)} />
    <button class="main" disabled=${isBusy}>Sign in</button>
  </form>`;
}

/** @param {{error: any}} given */
export function SignInPage({ error }) {
  return html`<main class="plain"><h1>microclaw</h1><h2>Sign in</h2><${SignInForm} first=${error} /></main>`;
}

export function SignInAgain() {
  return html`<${Dialog} title="Sign in again">
    <p>The session of ${state.me?.name} is over: it was ended, or nobody used it for a week. What you typed is still here.</p>
    <${SignInForm} />
  <//>`;
}
