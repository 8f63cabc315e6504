/** Of a layer: what is being inflated for readers, and what it is made of. Any number of them have no more, but one piece. */
export const mostUnderWayBytes = 64 << 20
