"use strict";
(() => {
  const KEY_STEP = 1;
  const KEY_LEAP = 10;
  const PAN_STEP = 48;
  const ZOOMS = [["Fit", 0], ["1:1", 1], ["4:1", 4]];
  const CRISP_FROM = 2;

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const make = (tag, attributes, parent, content) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (content !== undefined) element.textContent = content;
    if (parent) parent.append(element);
    return element;
  };

  /* Turns pictures that lie side by side into two layers of one stage, with a divider between. */
  class Viewer {
    constructor(root) {
      this.root = root;
      this.stage = root.querySelector(".pictures");
      this.pictures = new Map();
      this.maps = new Map();
      for (const figure of this.stage.querySelectorAll("figure")) {
        const known = figure.classList.contains("map") ? this.maps : this.pictures;
        known.set(figure.dataset.part, figure);
      }
      const image = this.stage.querySelector("img");
      this.width = Number(image.getAttribute("width"));
      this.height = Number(image.getAttribute("height"));
      const parts = [...this.pictures.keys()];
      this.sides = { left: parts[0], right: parts[1] };
      this.split = 50;
      this.zoom = 0;
      this.centre = { x: this.width / 2, y: this.height / 2 };
      this.mapped = false;
      this.drag = null;

      this.set(root, "--width", this.width);
      this.set(root, "--height", this.height);
      root.classList.add("sliding");
      this.addSides(parts);
      this.addHandle();
      this.addTools();
      this.listen();
      this.showSides();
      this.moveTo(this.split);
      this.zoomTo(0);
    }

    set(element, name, value) {
      element.style.setProperty(name, String(value));
    }

    label(part) {
      return this.pictures.get(part).querySelector("figcaption").textContent;
    }

    addSides(parts) {
      const row = make("div", { class: "sides" });
      this.stage.before(row);
      this.choices = {};
      for (const side of ["left", "right"]) {
        if (parts.length < 3) {
          make("span", { dir: "auto" }, row, this.label(this.sides[side]));
          continue;
        }
        const choice = make("select", { "aria-label": `Picture on the ${side}` }, row);
        for (const part of parts) make("option", { value: part }, choice, this.label(part));
        choice.addEventListener("change", () => this.choose(side, choice.value));
        this.choices[side] = choice;
      }
    }

    addHandle() {
      this.handle = make("div", {
        class: "handle",
        role: "slider",
        tabindex: "0",
        "aria-label": "Divider between the pictures",
        "aria-orientation": "horizontal",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
      }, this.stage);
    }

    addTools() {
      const tools = make("div", { class: "tools" });
      this.stage.after(tools);
      const zooms = make("div", { class: "zooms", role: "group", "aria-label": "Zoom" }, tools);
      this.zooms = ZOOMS.map(([name, zoom]) => {
        const button = make("button", { type: "button" }, zooms, name);
        button.addEventListener("click", () => this.zoomTo(zoom));
        return [zoom, button];
      });
      if (this.maps.size === 0) return;
      const name = this.root.dataset.map;
      const toggle = make("button", { type: "button", "aria-pressed": "false" }, tools, name);
      toggle.addEventListener("click", () => {
        this.mapped = !this.mapped;
        toggle.setAttribute("aria-pressed", String(this.mapped));
        this.root.classList.toggle("mapped", this.mapped);
        this.showSides();
      });
    }

    listen() {
      const stage = this.stage;
      stage.addEventListener("pointerdown", (event) => this.press(event));
      stage.addEventListener("pointermove", (event) => this.follow(event));
      stage.addEventListener("pointerup", (event) => this.release(event));
      stage.addEventListener("pointercancel", () => this.letGo());
      stage.addEventListener("keydown", (event) => this.panByKey(event));
      this.handle.addEventListener("keydown", (event) => this.slideByKey(event));
      new ResizeObserver(() => this.place()).observe(stage);
    }

    /* Choosing what the other side shows swaps the two. */
    choose(side, part) {
      const other = side === "left" ? "right" : "left";
      if (this.sides[other] === part) this.sides[other] = this.sides[side];
      this.sides[side] = part;
      this.showSides();
    }

    showSides() {
      for (const figure of this.stage.querySelectorAll("figure")) {
        figure.classList.remove("left", "right");
      }
      for (const [side, part] of Object.entries(this.sides)) {
        const map = this.mapped ? this.maps.get(part) : undefined;
        (map || this.pictures.get(part)).classList.add(side);
        if (this.choices[side]) this.choices[side].value = part;
      }
      this.moveTo(this.split);
    }

    moveTo(split) {
      this.split = clamp(split, 0, 100);
      this.set(this.stage, "--split", `${this.split}%`);
      const left = Math.round(this.split);
      this.handle.setAttribute("aria-valuenow", String(left));
      this.handle.setAttribute(
        "aria-valuetext",
        `${left} % ${this.label(this.sides.left)}, ${100 - left} % ${this.label(this.sides.right)}`,
      );
    }

    slideTo(event) {
      const box = this.stage.getBoundingClientRect();
      this.moveTo(((event.clientX - box.left) / box.width) * 100);
    }

    press(event) {
      if (event.button !== 0 || this.drag) return;
      const panning = this.zoom > 0 && event.target !== this.handle;
      this.drag = { pointer: event.pointerId, panning, x: event.clientX, y: event.clientY };
      this.stage.setPointerCapture(event.pointerId);
      if (panning) {
        this.stage.classList.add("held");
      } else {
        event.preventDefault();
        this.handle.focus({ preventScroll: true });
        /* A finger may be about to scroll the page: it moves the divider once it moves sideways. */
        if (event.pointerType !== "touch") this.slideTo(event);
      }
    }

    follow(event) {
      const drag = this.drag;
      if (!drag || drag.pointer !== event.pointerId) return;
      if (!drag.panning) {
        this.slideTo(event);
        return;
      }
      this.pan(drag.x - event.clientX, drag.y - event.clientY);
      drag.x = event.clientX;
      drag.y = event.clientY;
    }

    release(event) {
      if (!this.drag || this.drag.pointer !== event.pointerId) return;
      if (!this.drag.panning) this.slideTo(event);
      this.letGo();
    }

    letGo() {
      this.drag = null;
      this.stage.classList.remove("held");
    }

    slideByKey(event) {
      const leap = event.shiftKey ? KEY_LEAP : KEY_STEP;
      const moves = {
        ArrowLeft: this.split - leap,
        ArrowDown: this.split - leap,
        ArrowRight: this.split + leap,
        ArrowUp: this.split + leap,
        PageDown: this.split - KEY_LEAP,
        PageUp: this.split + KEY_LEAP,
        Home: 0,
        End: 100,
      };
      if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.moveTo(moves[event.key]);
    }

    panByKey(event) {
      const steps = {
        ArrowLeft: [-1, 0],
        ArrowRight: [1, 0],
        ArrowUp: [0, -1],
        ArrowDown: [0, 1],
      };
      if (event.target !== this.stage || !(event.key in steps)) return;
      event.preventDefault();
      const [x, y] = steps[event.key];
      this.pan(x * PAN_STEP, y * PAN_STEP);
    }

    pan(x, y) {
      this.centre.x += x / this.zoom;
      this.centre.y += y / this.zoom;
      this.place();
    }

    zoomTo(zoom) {
      this.zoom = zoom;
      this.root.classList.toggle("zoomed", zoom > 0);
      for (const [value, button] of this.zooms) {
        button.setAttribute("aria-pressed", String(value === zoom));
      }
      /* Only a picture that is larger than its frame can be moved, by the arrow keys too. */
      if (zoom > 0) {
        this.stage.setAttribute("tabindex", "0");
        this.stage.setAttribute("role", "group");
        this.stage.setAttribute("aria-label", "Zoomed picture; arrow keys move it");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) this.stage.removeAttribute(name);
      }
      this.place();
    }

    /* Keeps the centre where it is, and the picture's edges at or beyond the frame's. */
    place() {
      const { clientWidth: width, clientHeight: height } = this.stage;
      if (this.zoom === 0) {
        const scale = Math.min(width / this.width, height / this.height);
        this.root.classList.toggle("crisp", scale >= CRISP_FROM);
        return;
      }
      const offset = (size, frame, name) => {
        const half = Math.min(frame / this.zoom, size) / 2;
        this.centre[name] = clamp(this.centre[name], half, size - half);
        return Math.round(frame / 2 - this.centre[name] * this.zoom);
      };
      this.root.classList.add("crisp");
      this.set(this.stage, "--scale", this.zoom);
      this.set(this.stage, "--x", `${offset(this.width, width, "x")}px`);
      this.set(this.stage, "--y", `${offset(this.height, height, "y")}px`);
    }
  }

  for (const root of document.querySelectorAll(".viewer")) {
    if (root.querySelectorAll("figure:not(.map)").length > 1) new Viewer(root);
  }
})();
