// Package admission owns what is in the server at one time, and shares it out between clients.
//
// A [Room] bounds three things: pictures that wait or are worked on, the CPU time that these are estimated to take, and the
// bytes of uploads and of answers. Each request is a [Visit] of a client: the name of its key where keys are used, otherwise its
// address (connections.ClientOf). What does not fit is refused at once, with a guess when to come again: who is told to wait can go
// elsewhere, who is kept cannot. But nobody can fill the room and keep everybody else out of it:
//
//   - Bytes. A client that is alone gets 7/8 of them, one beside others a half, and an upload never more than what it leaves of
//     that. Transfers must keep a pace, see [MinPace]. Where room runs out, the slowest transfer gives way to the new one.
//   - Pictures and their CPU time. Where the room is full, a waiting picture of the client, and of the request, that has the
//     most work waiting gives way to one that has less.
//   - Turns. [Turns] gives the workers to clients, and to the requests of each, in the order of the CPU time that they have
//     used (start-time fair queueing), and keeps one turn free of pictures that take long to decode.
//     The memory for decoding is given out with them, in the same order.
//
// Estimates come from pictures' headers; [Turns] charges how long a picture was really worked on, where that was more.
//
// Locks: a Room has one, a Turns has one. While it holds it neither calls out, but for the end of a transfer ([Visit.Begin]).
package admission

// Reason is why something was refused or ended. The texts are the metric's labels.
type Reason string

// The reasons.
const (
	Pictures   Reason = "pictures"    // as many pictures as the room takes
	Work       Reason = "work"        // as much estimated CPU time
	Memory     Reason = "memory"      // as many bytes
	Share      Reason = "share"       // as many bytes as one client may have
	SlowUpload Reason = "slow_upload" // an upload below the least pace
	SlowReader Reason = "slow_reader" // an answer that is read below the least pace
	GaveWay    Reason = "gave_way"    // the slowest transfer, where room ran out
	Displaced  Reason = "displaced"   // a waiting picture of who had the most work waiting
)

// Reasons is every reason.
var Reasons = []Reason{Pictures, Work, Memory, Share, SlowUpload, SlowReader, GaveWay, Displaced}
