// A device that joins a room, says something there, shows what comes, and goes on where it was when it is started again:
//   node packages/client/examples/node.mjs tcp://127.0.0.1:3101 123 "hello"
// Against `npm start -- --push.durableRooms 'chat://*'` the room is kept.
import { createClient, fileStore } from '@halley/client';

const [, , address = 'tcp://127.0.0.1:3101', mid = '123', text = 'hello'] = process.argv;
const ROOM = 'chat://lobby';

const client = createClient({
  addresses: address,
  // With auth.mode jwt this is a function that asks your service for one.
  token: `{"mid":${mid},"key":"example-${mid}","platform":"node"}`,
  // What was shown is known by the next start too.
  store: fileStore(process.env.CURSORS ?? `cursors-${mid}.json`),
});

client.on('message', async ({ stream, fromMid, body }) => {
  // The next message of the stream, and the acknowledgement, wait for this.
  console.log(`${stream} from ${fromMid}: ${new TextDecoder().decode(body)}`);
});
client.on('gap', ({ stream, after, through }) =>
  console.log(`${stream}: missing behind ${after} up to ${through}`),
);
client.on('state', (state) => console.error(state.name));
client.on('error', (error) => console.error(error.code, error.message));
process.once('SIGINT', () => client.close());

await client.connect();
const { durable } = await client.join(ROOM);
console.log(`joined ${ROOM}, ${durable ? 'kept' : 'not kept'}`);
const { id } = await client.send({ room: ROOM, operation: 1000, body: text });
console.log(`sent ${id}`);
