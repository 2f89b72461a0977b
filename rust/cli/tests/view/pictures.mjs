// Compares screenshots. The browser scales them down, so single letters have no effect.

// The side of the square that becomes one pixel, in pixels of the screenshot.
const SQUARE = 20;

/**
 * Returns two PNG images: the screenshot with one pixel for each square, and an image of the same
 * size in the page's background colour only.
 */
export async function picture(page, shot) {
  const [got, plain] = await page.run(`(async () => {
    const bytes = Uint8Array.from(atob("${shot.toString("base64")}"), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = image;
    const whole = new OffscreenCanvas(width, height).getContext("2d");
    whole.drawImage(image, 0, 0);
    const { data } = whole.getImageData(0, 0, width, height);
    const [across, down] = [width / ${SQUARE}, height / ${SQUARE}];
    const small = new OffscreenCanvas(across, down);
    const context = small.getContext("2d");
    const pixels = context.createImageData(across, down);
    const channels = 4 * across * down;
    for (let at = 0; at < channels; at += 1) {
      const [c, x, y] = [at % 4, (at >> 2) % across, Math.floor((at >> 2) / across)];
      let sum = 0;
      for (let v = 0; v < ${SQUARE}; v += 1) for (let u = 0; u < ${SQUARE}; u += 1) {
        sum += data[((y * ${SQUARE} + v) * width + x * ${SQUARE} + u) * 4 + c];
      }
      pixels.data[at] = Math.round(sum / ${SQUARE * SQUARE});
    }
    const encoded = async () => {
      const blob = await small.convertToBlob({ type: "image/png" });
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return btoa(String.fromCharCode(...bytes));
    };
    context.putImageData(pixels, 0, 0);
    const got = await encoded();
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, across, down);
    return [got, await encoded()];
  })()`);
  return [Buffer.from(got, "base64"), Buffer.from(plain, "base64")];
}

/**
 * Compares two scaled-down images. Returns the mean difference of a channel, 0 to 255, and the
 * share of pixels that differ clearly.
 */
export function compared(page, a, b) {
  const far = 40;
  return page.run(`(async () => {
    const read = async (text) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
      context.drawImage(image, 0, 0);
      const { width, height } = image;
      return { size: [width, height].join(), data: context.getImageData(0, 0, width, height).data };
    };
    const [a, b] = [await read("${a.toString("base64")}"), await read("${b.toString("base64")}")];
    if (a.size !== b.size) throw new Error("pictures of " + a.size + " and " + b.size);
    let [sum, far] = [0, 0];
    for (let at = 0; at < a.data.length; at += 4) {
      const parts = [0, 1, 2].map((c) => Math.abs(a.data[at + c] - b.data[at + c]));
      sum += (parts[0] + parts[1] + parts[2]) / 3;
      far += Math.max(...parts) > ${far};
    }
    return { mean: sum / (a.data.length / 4), far: far / (a.data.length / 4) };
  })()`);
}
