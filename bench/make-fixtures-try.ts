import { makeFixtures } from './fixtures.js'
console.log(await makeFixtures(process.argv[2] ?? '', {}))
