// Asking the server, and following its events.

const RETRY_MS = 2000;

// What a refusal says; the server gives the reason as JSON.
async function refusal(response) {
  try {
    const { error, held } = await response.json();
    return Object.assign(new Error(error), { held });
  } catch {
    return new Error(`${response.status} ${response.statusText}`);
  }
}

async function ask(target, options) {
  let response;
  try {
    response = await fetch(target, options);
  } catch {
    throw new Error("the server does not answer");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get(target) {
  return (await ask(target)).json();
}

export function inspect(path, depth) {
  return get(`/inspect/${path.split("/").map(encodeURIComponent).join("/")}?depth=${depth}`);
}

// Has the server do something to a port. The header says that it is meant: no page of another site can send it.
export function operate(port, what, body) {
  return ask(`/ports/${encodeURIComponent(port)}/${what}`, {
    method: "POST",
    headers: { "Rootplex-Operator": "page" },
    body,
  });
}

// Follows the events from the first that the log still has, and goes on where it was after the server was away.
export function follow({ event, dropped, connected, lost }) {
  let next = 0;
  function connect() {
    const source = new EventSource(`/events?named=false&from=${next}`);
    source.onopen = connected;
    source.onmessage = (message) => {
      const happened = JSON.parse(message.data);
      next = happened.sequence + 1;
      event(happened);
    };
    source.addEventListener("dropped", (message) => dropped(JSON.parse(message.data).dropped));
    source.onerror = () => {
      lost();
      // By itself the browser tries again only where the connection broke, and not where it was refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    };
  }
  connect();
}
