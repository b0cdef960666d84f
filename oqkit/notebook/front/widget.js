// The live display of a job. It draws what the kernel sends and asks for the rest; it decides nothing.
// Every text goes in as a text node, never as markup. Plain ES module: there is no build step.

const BEAT_MS = 30000
const ASK_AGAIN_MS = 250
const HEIR_MS = 10000
const GONE = ["restarting", "autorestarting", "terminating", "dead"]
const SEGMENTS = ["completed", "running", "retrying", "failed", "cancelled", "expired", "pending"]
const STEERING = {retry: "Putting failed tasks back …", cancel: "Cancelling …", pause: "Pausing …", resume: "Resuming …"}
const VIEW = "application/vnd.jupyter.widget-view+json"
const CONTROLS = ".oqkit-actions,.oqkit-ask,.oqkit-tabs,.oqkit-panel,.oqkit-said,.oqkit-hush,[hidden]"
const DISPLAYS = new Set()
const LEFT = new Set() // what ended displays had open, for a while
let serial = 0

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value)
    else if (value === true) node.setAttribute(name, "")
    else if (value !== false && value !== null) node.setAttribute(name, value)
  }
  node.append(...children.filter(child => child !== null && child !== undefined && child !== ""))
  return node
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

// Write a text only if it differs, so that a selection in it survives.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text
}

// Turn the outputs that show a model into what they show now, as static HTML: no kernel answers them any more, and a
// notebook that is saved and opened again would have nothing to draw. Front ends that do not let us are left alone.
function keep(model, root) {
  const cells = model.widget_manager?.context?.model?.cells || []
  const id = model.get("own_id")
  for (const cell of cells) {
    for (let n = 0; n < (cell.outputs?.length || 0); n++) {
      const output = cell.outputs.get(n).toJSON()
      if (output.data?.[VIEW]?.model_id !== id) continue
      const {[VIEW]: _, ...data} = output.data
      const style = /^<style>[^<]*<\/style>/.exec([data["text/html"]].flat().join(""))
      const still = stilled(root)
      data["text/plain"] = [...still.querySelectorAll("p,tbody tr")].map(each => each.textContent).join("\n")
      data["text/html"] = (style ? style[0] : "") + still.outerHTML
      cell.outputs.set(n, {...output, data})
    }
  }
}

// A copy of a display with nothing in it to press.
function stilled(root) {
  const copy = root.cloneNode(true)
  for (const node of copy.querySelectorAll(CONTROLS)) node.remove()
  for (const button of copy.querySelectorAll("button")) {
    const key = make("span", {class: "oqkit-key"}, ...button.childNodes)
    button.replaceWith(...(button.previousElementSibling ? [" · ", key] : [key]))
  }
  for (const node of [copy, ...copy.querySelectorAll(".oqkit-live")]) node.classList.replace("oqkit-live", "oqkit-static")
  for (const node of copy.querySelectorAll("[id]")) node.removeAttribute("id")
  return copy
}

class Display {
  constructor(model, el) {
    this.model = model
    this.id = `v${Date.now().toString(36)}${serial++}`
    this.asked = 0
    this.waiting = new Map()
    this.born = Date.now()
    this.ui = {
      tasks: false, errors: false, group: "", status: "", query: "", only: "", onlyTitle: "", offset: 0, row: null,
    }
    DISPLAYS.add(this)
    this.isVisible = true
    this.skeleton(el)
    this.listen()
    this.update()
    this.tell("hello", {visible: true})
    setTimeout(Display.adopt, 0)
  }

  // JupyterLab draws an output anew when it changes, and may forget to end the old drawing. The new one has open
  // what the old one had, whichever of the two is noticed first.
  static adopt() {
    const now = Date.now()
    for (const old of [...DISPLAYS]) if (old.wasShown && !old.root.isConnected) old.end()
    for (const left of [...LEFT]) {
      const heir = [...DISPLAYS].find(each => each.state?.id === left.id && !each.isTouched && now - each.born < HEIR_MS)
      if (heir) heir.take(left.ui)
      if (heir || now - left.at > HEIR_MS) LEFT.delete(left)
    }
  }

  take(ui) {
    this.ui = {...ui}
    this.isTouched = true
    this.search.value = ui.query
    if (ui.tasks || ui.errors) this.panels()
    if (ui.row !== null) this.readRow(ui.row)
  }

  // --- words to and from the kernel --------------------------------------------------------------

  tell(op, more = {}) {
    this.model.send({op, view: this.id, ...more})
  }

  ask(op, more, then) {
    const id = ++this.asked
    this.waiting.set(op, {id, then})
    this.tell(op, {id, ...more})
  }

  answered(message) {
    if (!message || message.view !== this.id) return
    const waiting = this.waiting.get(message.op)
    if (!waiting || waiting.id !== message.id) return // an older question: a newer one is on its way
    this.waiting.delete(message.op)
    if (message.refused) this.say(message.refused, true)
    waiting.then(message)
  }

  listen() {
    this.onState = () => this.update()
    this.onMessage = message => this.answered(message)
    this.model.on("change:state", this.onState)
    this.model.on("msg:custom", this.onMessage)
    // JupyterLab's widget manager knows its kernel; other front ends just stop answering.
    this.kernel = this.model.widget_manager?.kernel
    this.onKernel = (_, status) => GONE.includes(status) && this.gone()
    this.kernel?.statusChanged?.connect(this.onKernel)
    this.inView = true
    this.seen = () => {
      const isVisible = this.inView && document.visibilityState === "visible"
      if (isVisible !== this.isVisible) {
        this.isVisible = isVisible
        this.tell("visible", {visible: isVisible})
      }
    }
    document.addEventListener("visibilitychange", this.seen)
    this.observer = new IntersectionObserver(entries => {
      this.inView = entries[entries.length - 1].isIntersecting
      this.wasShown = this.wasShown || this.root.isConnected
      Display.adopt()
      this.seen()
    })
    this.observer.observe(this.root)
    this.beat = setInterval(() => this.isVisible && this.tell("beat", {visible: true}), BEAT_MS)
  }

  end() {
    if (!DISPLAYS.delete(this)) return
    if (this.state && (this.ui.tasks || this.ui.errors)) LEFT.add({id: this.state.id, ui: this.ui, at: Date.now()})
    setTimeout(Display.adopt, 0)
    clearInterval(this.beat)
    clearTimeout(this.typing)
    this.observer.disconnect()
    document.removeEventListener("visibilitychange", this.seen)
    this.model.off("change:state", this.onState)
    this.model.off("msg:custom", this.onMessage)
    this.kernel?.statusChanged?.disconnect(this.onKernel)
    try {
      this.tell("bye")
    } catch {
      // the kernel went first
    }
  }

  gone() {
    clearInterval(this.beat)
    for (const node of this.root.querySelectorAll(".oqkit-actions,.oqkit-ask,.oqkit-tabs")) node.hidden = true
    for (const node of this.root.querySelectorAll("button,input,select")) node.disabled = true
    write(this.advice, `This kernel has ended; the job needs none. oq.job(${JSON.stringify(this.state.label)}) shows it again.`)
    this.advice.hidden = false
    if (!(this.model instanceof Slot)) setTimeout(() => keep(this.model, this.root), 0)
  }

  // --- what is always there ----------------------------------------------------------------------

  skeleton(el) {
    const p = (name, attributes = {}) => make("p", {class: `oqkit-${name}`, ...attributes})
    this.name = make("b", {class: "oqkit-name"})
    this.status = make("span", {class: "oqkit-status", role: "status"})
    this.what = make("span", {class: "oqkit-what"})
    this.retry = make("button", {type: "button", onclick: () => this.steer("retry")})
    this.pause = make("button", {type: "button", onclick: () => this.steer(this.state.status === "paused" ? "resume" : "pause")})
    this.cancel = make("button", {type: "button", class: "oqkit-danger", onclick: () => this.confirm()}, "Cancel")
    this.question = make("span", {id: `${this.id}q`})
    this.no = make("button", {type: "button", onclick: () => this.asking(false)}, "Keep it running")
    this.yes = make("button", {type: "button", class: "oqkit-danger", onclick: () => {
      this.asking(false)
      this.steer("cancel")
    }}, "Cancel the job")
    this.box = make("div", {
      class: "oqkit-ask", role: "alertdialog", "aria-labelledby": `${this.id}q`, hidden: true,
      onkeydown: event => event.key === "Escape" && this.asking(false),
    }, this.question, this.no, this.yes)
    this.segments = new Map(SEGMENTS.map(name => [name, make("span", {class: `oqkit-seg oqkit-${name}`, hidden: true})]))
    this.bar = make("div", {
      class: "oqkit-bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "Tasks that ended",
    }, ...this.segments.values())
    this.percent = make("b", {})
    this.keys = make("span", {class: "oqkit-keys"})
    this.facts = p("facts")
    this.advice = p("note", {hidden: true})
    this.said = p("said", {role: "status"})
    this.charts = make("div", {class: "oqkit-charts"})
    this.spark = this.chart("Throughput over time")
    this.times = this.chart("Time a task")
    this.charts.append(this.spark.figure, this.times.figure)
    this.errorsTab = this.tab("errors")
    this.tasksTab = this.tab("tasks")
    this.errorsPanel = make("div", {class: "oqkit-panel", id: `${this.id}errors`, role: "region", "aria-label": "Errors", hidden: true})
    this.tasksPanel = make("div", {class: "oqkit-panel", id: `${this.id}tasks`, role: "region", "aria-label": "Tasks", hidden: true})
    this.foot = p("foot")
    this.root = make("div", {class: "oqkit oqkit-live", role: "group", "aria-label": "Job"},
      make("div", {class: "oqkit-top"},
        make("p", {class: "oqkit-head"}, this.name, this.status, this.what),
        make("div", {class: "oqkit-actions"}, this.retry, this.pause, this.cancel)),
      this.box, this.bar, make("p", {class: "oqkit-legend"}, this.percent, " ", this.keys),
      this.facts, this.advice, this.said, this.charts,
      make("div", {class: "oqkit-tabs"}, this.errorsTab, this.tasksTab),
      this.errorsPanel, this.tasksPanel, this.foot)
    this.table()
    el.append(this.root)
  }

  tab(name) {
    return make("button", {
      type: "button", "aria-expanded": "false", "aria-controls": `${this.id}${name}`, onclick: () => this.toggle(name),
    })
  }

  chart(label) {
    const svg = draw("svg", {viewBox: "0 0 200 36", preserveAspectRatio: "none", role: "img", "aria-label": label})
    const caption = make("figcaption")
    return {svg, caption, label, figure: make("figure", {class: "oqkit-chart", hidden: true}, svg, caption)}
  }

  update() {
    const state = this.model.get("state") || {}
    if (!state.label) return // frozen: static HTML takes this place
    const before = this.state
    this.state = state
    this.root.setAttribute("aria-label", `Job ${state.label}`)
    write(this.name, state.label)
    write(this.status, state.status)
    this.status.className = `oqkit-status oqkit-is-${state.status}`
    write(this.what, state.what)
    this.updateBar(state)
    this.updateButtons(state)
    this.updateFacts(state)
    write(this.advice, state.advice)
    this.advice.hidden = !state.advice
    this.drawSpark(state)
    this.drawTimes(state)
    this.charts.hidden = this.spark.figure.hidden && this.times.figure.hidden
    write(this.foot, `${state.isFinal ? "Ended. " : ""}As of ${state.asOf}.`)
    this.updatePanels(state, before)
  }

  updateBar(state) {
    const shares = new Map(state.segments)
    for (const [name, node] of this.segments) {
      node.hidden = !shares.has(name)
      node.style.flexGrow = shares.get(name) || 0
    }
    const told = state.legend.map(item => item[2]).join(", ")
    this.bar.setAttribute("aria-valuenow", parseFloat(state.percent))
    this.bar.setAttribute("aria-valuetext", `${state.percent}: ${told}`)
    write(this.percent, state.percent)
    const names = state.legend.map(item => item[0]).join()
    if (names !== this.shownKeys) {
      this.shownKeys = names
      this.keys.replaceChildren(...state.legend.map(([name]) =>
        make("button", {type: "button", title: `Show ${name} tasks in the table`, onclick: () => this.show(name)},
          make("span", {class: `oqkit-dot oqkit-${name}`}), make("span"))))
    }
    state.legend.forEach((item, n) => write(this.keys.children[n].lastChild, item[2]))
  }

  updateButtons(state) {
    this.retry.hidden = !state.nFailed
    write(this.retry, `Retry failed (${state.nFailed.toLocaleString("en")})`)
    this.cancel.hidden = this.pause.hidden = state.nOpen === 0 || state.status === "cancelling"
    write(this.pause, state.status === "paused" ? "Resume" : "Pause")
    if (state.nOpen === 0) this.asking(false)
  }

  updateFacts(state) {
    const kinds = state.facts.map(fact => fact[0]).join()
    if (kinds !== this.shownFacts) {
      this.shownFacts = kinds
      this.facts.replaceChildren(...state.facts.flatMap((fact, n) => [n ? " · " : "", make("span")]).filter(Boolean))
    }
    const spans = this.facts.querySelectorAll("span")
    state.facts.forEach((fact, n) => {
      write(spans[n], fact[1])
      spans[n].title = fact[2]
    })
  }

  drawSpark(state) {
    const {svg, caption, figure, label} = this.spark
    figure.hidden = !state.speeds.length
    if (figure.hidden) return
    const step = 200 / Math.max(state.speeds.length - 1, 1)
    const points = state.speeds.map((share, n) => `${(n * step).toFixed(1)},${(34 - 32 * share).toFixed(1)}`).join(" ")
    svg.replaceChildren(
      draw("polygon", {class: "oqkit-area", points: `0,36 ${points} 200,36`}),
      draw("polyline", {class: "oqkit-line", points}))
    svg.setAttribute("aria-label", `${label}, at most ${state.topSpeed}`)
    write(caption, `throughput, up to ${state.topSpeed}`)
  }

  drawTimes(state) {
    const {svg, caption, figure, label} = this.times
    const all = state.durations
    figure.hidden = !all.length
    if (figure.hidden) return
    const top = Math.max(...all.map(item => item[1]))
    const width = Math.min(200 / all.length, 40)
    const told = all.map(([edge, n]) => `up to ${edge}: ${n.toLocaleString("en")}`)
    svg.replaceChildren(...all.map(([, n], place) => draw("rect", {
      class: "oqkit-rect", x: place * width + 1, width: width - 2, y: 34 - 32 * n / top, height: 32 * n / top + 2,
    }, draw("title", {}, told[place]))))
    svg.setAttribute("aria-label", `${label}: ${told.join("; ")}`)
    write(caption, `time a task, ${all.length === 1 ? "up to" : `${all[0][0]} to`} ${all[all.length - 1][0]}`)
  }

  // --- steering ----------------------------------------------------------------------------------

  confirm() {
    write(this.question, `Cancel ${this.state.nOpen.toLocaleString("en")} tasks that have not ended? What has completed stays.`)
    this.asking(true)
    this.no.focus()
  }

  asking(isAsking) {
    if (!this.box.hidden && !isAsking && this.box.contains(document.activeElement)) this.cancel.focus()
    this.box.hidden = !isAsking
  }

  steer(op) {
    const buttons = [this.retry, this.pause, this.cancel]
    const focused = buttons.find(button => button === document.activeElement)
    for (const button of buttons) button.disabled = true
    this.say(STEERING[op])
    this.ask(op, {}, reply => {
      for (const button of buttons) button.disabled = false
      focused?.focus() // a disabled button loses it
      if (reply.text) this.say(reply.text)
      if (this.ui.tasks) this.page()
    })
  }

  say(text, isBad = false) {
    write(this.said, text)
    this.said.classList.toggle("oqkit-bad", isBad)
  }

  // --- panels ------------------------------------------------------------------------------------

  toggle(name) {
    this.isTouched = true
    this.ui[name] = !this.ui[name]
    this.panels()
  }

  panels() {
    this.tell("panels", {tasks: this.ui.tasks, errors: this.ui.errors})
    this.updatePanels(this.state, null)
    if (this.ui.errors && this.state.nUnread) this.ask("errors", {}, () => {})
  }

  show(status, only = "", title = "") {
    Object.assign(this.ui, {status, only, onlyTitle: title, query: "", offset: 0, row: null})
    this.search.value = ""
    if (!this.ui.tasks) {
      this.ui.tasks = true
      this.panels()
    } else this.page()
  }

  updatePanels(state, before) {
    const nGroups = state.nGroups, n = state.nFailed
    this.errorsTab.hidden = !nGroups && !state.nUnread
    write(this.errorsTab, nGroups ? `Errors (${nGroups} ${nGroups === 1 ? "kind" : "kinds"})` : `Errors (${n.toLocaleString("en")} tasks)`)
    write(this.tasksTab, "Tasks")
    for (const [name, tab, panel] of [["errors", this.errorsTab, this.errorsPanel], ["tasks", this.tasksTab, this.tasksPanel]]) {
      tab.setAttribute("aria-expanded", String(this.ui[name]))
      panel.hidden = !this.ui[name] || tab.hidden
    }
    if (this.ui.errors) this.updateGroups(state)
    if (this.ui.tasks && (before === null || this.isNews(before, state))) this.page()
  }

  isNews(before, state) {
    return !before || JSON.stringify(before.legend) !== JSON.stringify(state.legend)
  }

  updateGroups(state) {
    const keys = state.groups.map(group => group[0]).join()
    if (keys !== this.shownGroups) {
      this.shownGroups = keys
      this.groupNodes = new Map(state.groups.map(([key]) => {
        const inside = make("div", {class: "oqkit-inside", id: `${this.id}g${key}`, hidden: true})
        const button = make("button", {
          type: "button", "aria-expanded": "false", "aria-controls": `${this.id}g${key}`, onclick: () => this.openGroup(key),
        }, make("span"))
        return [key, {button, inside, node: make("div", {class: "oqkit-group"}, button, inside)}]
      }))
      this.moreGroups = make("p", {class: "oqkit-more"})
      this.errorsPanel.replaceChildren(...[...this.groupNodes.values()].map(group => group.node), this.moreGroups)
      if (this.groupNodes.has(this.ui.group)) this.fillGroup(this.ui.group)
    }
    for (const [key, title] of state.groups) write(this.groupNodes.get(key).button.lastChild, title)
    const left = state.nGroups - state.groups.length
    const more = [left > 0 ? `${left} more kinds: job.errors() has them all.` : "",
      state.nUnread ? `The errors of ${state.nUnread.toLocaleString("en")} failed tasks are being read.` : ""]
    write(this.moreGroups, more.filter(Boolean).join(" "))
    this.moreGroups.hidden = !this.moreGroups.textContent
  }

  openGroup(key) {
    const last = this.ui.group
    this.ui.group = last === key ? "" : key
    for (const [each, group] of this.groupNodes) {
      group.button.setAttribute("aria-expanded", String(each === this.ui.group))
      if (each !== this.ui.group) group.inside.hidden = true
    }
    if (this.ui.group) this.fillGroup(key)
  }

  fillGroup(key) {
    this.ask("group", {key}, reply => {
      const group = this.groupNodes.get(key)
      if (!group || this.ui.group !== key || reply.refused) return
      const rows = reply.rows.map(([row, label]) =>
        make("button", {type: "button", title: `Row ${row}: show this task`, onclick: () => this.showRow(row)}, label))
      const left = reply.found - reply.rows.length
      group.button.setAttribute("aria-expanded", "true")
      group.inside.hidden = false
      group.inside.replaceChildren(
        reply.place ? make("p", {class: "oqkit-more"}, reply.place) : "",
        make("pre", {tabindex: "0", "aria-label": "Traceback of the first of them"}, reply.traceback || reply.message),
        make("div", {class: "oqkit-rows"}, "Tasks: ", ...rows, left > 0 ? `… ${left.toLocaleString("en")} more ` : "",
          make("button", {type: "button", onclick: () => this.show("", key, reply.title)}, "Show in the table")))
    })
  }

  // --- the table ---------------------------------------------------------------------------------

  table() {
    this.filter = make("select", {onchange: () => {
      Object.assign(this.ui, {status: this.filter.value, offset: 0, row: null})
      this.page()
    }}, make("option", {value: ""}, "all"), ...SEGMENTS.map(name => make("option", {value: name}, name)))
    this.search = make("input", {type: "search", placeholder: "row, label, worker, error", oninput: () => {
      clearTimeout(this.typing)
      this.typing = setTimeout(() => {
        Object.assign(this.ui, {query: this.search.value, offset: 0, row: null})
        this.page()
      }, ASK_AGAIN_MS)
    }})
    this.search.value = this.ui.query
    this.onlyNote = make("span", {})
    this.only = make("span", {hidden: true}, this.onlyNote, " ",
      make("button", {type: "button", onclick: () => this.show(this.ui.status)}, "Show all errors"))
    this.body = make("tbody")
    const pager = (text, name, move) => make("button", {type: "button", "aria-label": name, title: name, onclick: () => {
      this.ui.offset = Math.max(0, move())
      this.ui.row = null
      this.page()
    }}, text)
    const last = () => Math.floor((this.found - 1) / this.limit) * this.limit
    this.first = pager("«", "First page", () => 0)
    this.previous = pager("‹", "Previous page", () => this.ui.offset - this.limit)
    this.next = pager("›", "Next page", () => this.ui.offset + this.limit)
    this.last = pager("»", "Last page", last)
    this.place = make("span", {role: "status"})
    this.found = 0
    this.limit = 25
    this.rows = []
    const head = ["row", "label", "status", "attempts", "worker or error"]
    this.tasksPanel.append(
      make("div", {class: "oqkit-tools"}, make("label", {}, "Status", this.filter), make("label", {}, "Search", this.search), this.only),
      make("div", {class: "oqkit-scroll"}, make("table", {class: "oqkit-table"},
        make("caption", {class: "oqkit-hush"}, "Tasks"),
        make("thead", {}, make("tr", {}, ...head.map((text, n) =>
          make("th", {scope: "col", class: n === 3 ? "oqkit-number" : ""}, text)))),
        this.body)),
      make("div", {class: "oqkit-pager"}, this.first, this.previous, this.place, this.next, this.last))
  }

  page() {
    const {status, query, only, offset} = this.ui
    this.filter.value = status
    this.only.hidden = !only
    write(this.onlyNote, only ? `Only: ${this.ui.onlyTitle}` : "")
    this.ask("page", {status, query, group: only, offset}, reply => {
      if (reply.refused) return
      this.ui.offset = reply.offset
      this.found = reply.found
      this.limit = reply.limit
      this.rows = reply.rows
      this.fillRows()
      const shown = `${(reply.offset + 1).toLocaleString("en")}–${(reply.offset + reply.rows.length).toLocaleString("en")}`
      write(this.place, reply.rows.length ? `${shown} of ${reply.found.toLocaleString("en")}` : "No task matches.")
      this.first.disabled = this.previous.disabled = reply.offset === 0
      this.next.disabled = this.last.disabled = reply.offset + reply.rows.length >= reply.found
    })
  }

  fillRows() {
    const rows = this.rows
    const text = JSON.stringify([rows, this.ui.row, Boolean(this.detail)])
    if (text === this.shownRows) return // a button that has the focus keeps it
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.row : null
    this.shownRows = text
    this.body.replaceChildren(...rows.flatMap(([row, label, status, attempt, note]) => {
      const isOpen = this.ui.row === row
      const button = make("button", {
        type: "button", class: "oqkit-open", "data-row": row, "aria-expanded": String(isOpen), onclick: () => this.openRow(row),
      }, String(row))
      const line = make("tr", {}, make("td", {class: "oqkit-nowrap"}, button), make("td", {}, label),
        make("td", {class: "oqkit-nowrap"}, make("span", {class: `oqkit-dot oqkit-${status}`}), status),
        make("td", {class: "oqkit-number"}, String(attempt)), make("td", {}, note))
      return isOpen ? [line, make("tr", {}, this.detail || make("td", {colspan: "5"}, "Reading …"))] : [line]
    }))
    if (focused !== null) this.body.querySelector(`button[data-row="${Number(focused)}"]`)?.focus()
  }

  showRow(row) {
    this.show("")
    this.ui.query = this.search.value = String(row)
    this.page()
    this.openRow(row)
  }

  openRow(row) {
    this.ui.row = this.ui.row === row ? null : row
    this.detail = null
    this.fillRows()
    if (this.ui.row !== null) this.readRow(row)
  }

  readRow(row) {
    this.ask("task", {row}, reply => {
      if (this.ui.row !== row || reply.refused) return
      const list = (items, isCode) => make("dl", {}, ...items.flatMap(([name, value]) =>
        [make("dt", {}, name || "value"), make("dd", {}, isCode ? make("code", {}, value) : value)]))
      this.detail = make("td", {colspan: "5"},
        list(reply.facts, false),
        make("h4", {}, "Input"), list(reply.input, true),
        reply.result ? make("h4", {}, "Result") : "", reply.result ? make("code", {}, reply.result) : "",
        reply.error ? make("h4", {}, "Error") : "",
        reply.error ? make("pre", {tabindex: "0"}, reply.traceback || reply.error) : "")
      this.fillRows()
    })
  }
}

// One job of a board, as a model of its own.
class Slot {
  constructor(model, job) {
    this.model = model
    this.job = job
    this.names = {"change:state": "change:states"}
    this.widget_manager = model.widget_manager
  }

  get() {
    return (this.model.get("states") || {})[this.job]
  }

  send(content) {
    this.model.send({...content, job: this.job})
  }

  on(name, call) {
    this.model.on(this.names[name] || name, call)
  }

  off(name, call) {
    this.model.off(this.names[name] || name, call)
  }
}

class Board {
  constructor(model, el) {
    this.model = model
    this.displays = new Map()
    this.name = make("b", {class: "oqkit-name"})
    this.url = make("span", {class: "oqkit-what"})
    this.refresh = make("button", {type: "button", onclick: () => this.look()}, "Refresh")
    this.said = make("p", {class: "oqkit-said oqkit-bad", role: "status"})
    this.body = make("tbody")
    this.foot = make("p", {class: "oqkit-foot"})
    const head = ["job", "status", "type", "tasks", "", "submitted"]
    this.root = make("div", {class: "oqkit oqkit-live oqkit-board", role: "group", "aria-label": "Jobs"},
      make("div", {class: "oqkit-top"}, make("p", {class: "oqkit-head"}, this.name, this.url),
        make("div", {class: "oqkit-actions"}, this.refresh)),
      this.said,
      make("div", {class: "oqkit-scroll"}, make("table", {class: "oqkit-table"},
        make("caption", {class: "oqkit-hush"}, "Jobs"),
        make("thead", {}, make("tr", {}, ...head.map((text, n) =>
          make("th", {scope: "col", class: n === 3 ? "oqkit-number" : ""}, text)))),
        this.body)),
      this.foot)
    el.append(this.root)
    this.kernel = model.widget_manager?.kernel
    this.onKernel = (_, status) => GONE.includes(status) && this.gone()
    this.onBoard = () => this.update()
    this.onStates = () => this.open()
    this.onMessage = message => {
      if (message.op === "refresh" || message.op === "open") {
        this.refresh.disabled = false
        write(this.said, message.refused || "")
      }
    }
    this.kernel?.statusChanged?.connect(this.onKernel)
    model.on("change:board", this.onBoard)
    model.on("change:states", this.onStates)
    model.on("msg:custom", this.onMessage)
    this.update()
  }

  look() {
    this.refresh.disabled = true
    this.model.send({op: "refresh"})
  }

  update() {
    const board = this.model.get("board")
    write(this.name, `${board.lines.length} ${board.lines.length === 1 ? "job" : "jobs"}`)
    write(this.url, board.url)
    write(this.foot, `As of ${board.asOf}.`)
    const details = new Map([...this.body.querySelectorAll("td[data-job]")].map(cell => [cell.dataset.job, cell.parentNode]))
    this.body.replaceChildren(...board.lines.flatMap(line => {
      const [id, label, status, type, tasks, shares, told, created] = line
      const bar = make("div", {class: "oqkit-bar oqkit-mini", role: "img", "aria-label": told, title: told},
        ...shares.map(([name, share]) => {
          const segment = make("span", {class: `oqkit-seg oqkit-${name}`})
          segment.style.flexGrow = share
          return segment
        }))
      const button = make("button", {
        type: "button", class: "oqkit-open", "data-open": id, "aria-expanded": String(details.has(id)), onclick: () => this.toggle(id),
      }, label)
      const row = make("tr", {}, make("td", {}, button),
        make("td", {class: "oqkit-nowrap"}, make("span", {class: `oqkit-status oqkit-is-${status}`}, status)),
        make("td", {}, type), make("td", {class: "oqkit-number"}, tasks), make("td", {}, bar),
        make("td", {class: "oqkit-nowrap"}, created))
      return details.has(id) ? [row, details.get(id)] : [row]
    }))
    this.open()
  }

  toggle(id) {
    const button = this.body.querySelector(`button[data-open="${CSS.escape(id)}"]`)
    const isOpen = button.getAttribute("aria-expanded") === "true"
    button.setAttribute("aria-expanded", String(!isOpen))
    if (isOpen) {
      this.drop(id)
      this.model.send({op: "close", job: id})
    } else {
      const cell = make("td", {colspan: "6", "data-job": id}, "Reading …")
      button.closest("tr").after(make("tr", {}, cell))
      this.model.send({op: "open", job: id})
    }
  }

  // Draw what the kernel has sent of the jobs that are open.
  open() {
    const states = this.model.get("states") || {}
    for (const cell of this.body.querySelectorAll("td[data-job]")) {
      const id = cell.dataset.job
      if (states[id] && !this.displays.has(id)) {
        cell.replaceChildren()
        this.displays.set(id, new Display(new Slot(this.model, id), cell))
      } else if (!states[id] && this.displays.has(id)) this.drop(id)
    }
  }

  drop(id) {
    this.displays.get(id)?.end()
    this.displays.delete(id)
    this.body.querySelector(`td[data-job="${CSS.escape(id)}"]`)?.parentNode.remove()
    this.body.querySelector(`button[data-open="${CSS.escape(id)}"]`)?.setAttribute("aria-expanded", "false")
  }

  gone() {
    for (const button of this.body.querySelectorAll("button")) button.disabled = true
    this.refresh.hidden = true
    write(this.foot, `${this.foot.textContent} This kernel has ended; oq.board() shows it again.`)
    setTimeout(() => keep(this.model, this.root), 0)
  }

  end() {
    for (const display of this.displays.values()) display.end()
    this.kernel?.statusChanged?.disconnect(this.onKernel)
    this.model.off("change:board", this.onBoard)
    this.model.off("change:states", this.onStates)
    this.model.off("msg:custom", this.onMessage)
  }
}

function render({model, el}) {
  const drawn = model.get("board") ? new Board(model, el) : new Display(model, el)
  return () => drawn.end()
}

export default {render}
