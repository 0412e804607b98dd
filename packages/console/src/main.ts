import { Chat } from './model/chat.js';
import { midOf } from './model/names.js';
import { Shelf } from './model/shelf.js';
import { knownName, profileOf } from './profile.js';
import { Session } from './session/session.js';
import { wishOf } from './session/transports.js';
import { chosenTheme, useTheme } from './theme.js';
import { App } from './view/app.js';
import { welcome } from './view/welcome.js';

const windowShelf = new Shelf(sessionStorage, 'window');
const browserShelf = new Shelf(localStorage, 'browser');
const address = new URL(location.href);

/** Shows the chat as somebody. */
function enter(name: string): void {
  const me = profileOf(name, windowShelf, browserShelf);
  const chat = new Chat(me, new Shelf(localStorage, me.mid));
  chat.wish = wishOf(address.searchParams.get('transport'));
  const session = new Session({
    chat,
    address: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`,
    storage: sessionStorage,
    shelf: new Shelf(sessionStorage, `window:${midOf(name)}`),
  });
  document.body.replaceChildren(new App({ chat, session }).element);
  session.start();
}

useTheme(chosenTheme());
const name = knownName(address, windowShelf, browserShelf);
if (name) enter(name);
else document.body.replaceChildren(welcome('', enter));
