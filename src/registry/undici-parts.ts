/**
 * What we use of undici, without its index: that one evaluates fetch, WebSocket, caches and mocks as well, and makes Node
 * load the undici of its own, which took a fifth of the time until a mount stood.
 */
import methods from 'undici/lib/api/index.js'
import buildConnector from 'undici/lib/core/connect.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js'

// As the index does; ProxyAgent asks for its tunnels by one of them.
Object.assign(Dispatcher.prototype, methods)

export { buildConnector, Pool, ProxyAgent }
