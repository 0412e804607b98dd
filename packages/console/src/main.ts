import { Chat } from './model/chat.js';
import { Shelf } from './model/shelf.js';
import { forgetDevice, knownName, profileOf } from './profile.js';
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
    shelf: new Shelf(sessionStorage, `window:${me.mid}`),
  });
  const asAnotherDevice = (): void => {
    forgetDevice(me.mid, windowShelf);
    location.reload();
  };
  document.body.replaceChildren(new App({ chat, session, asAnotherDevice }).element);
  session.start();
}

useTheme(chosenTheme());
const name = knownName(address, windowShelf, browserShelf);
if (name) enter(name);
else {
  const entered = (chosen: string): void => {
    // A reload is not to ask again: the window knows the name.
    history.replaceState(null, '', `${location.pathname}${location.hash}`);
    enter(chosen);
  };
  document.body.replaceChildren(welcome(entered));
}
